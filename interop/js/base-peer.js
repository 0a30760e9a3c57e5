'use strict'
// An autobase peer. Values are operations in JSON, applied to two views: 'log', a plain core, and 'kv', a bee.
//
//   node base-peer.js storageDir primaryKeyHex [bootstrapHex]
//
// Environment: ENCRYPTION=hex, FAST_FORWARD=1, OPTIMISTIC=1, ACK_INTERVAL=ms. Operations: lib/base-app.js.
const version = require('./lib/version')
const path = require('path')
const Corestore = require('corestore')
const Autobase = require('autobase')
const b4a = require('b4a')
const { say, serve } = require('./lib/commands')
const Net = require('./lib/net')
const Swarm = require('./lib/swarm')
const { open, close, apply } = require('./lib/base-app')

const hex = (b) => b4a.toString(b, 'hex')
const unhex = (s) => b4a.from(s, 'hex')
const env = process.env
const [dir, primaryKey, bootstrap] = process.argv.slice(2)

const store = new Corestore(path.resolve(dir), { primaryKey: unhex(primaryKey), unsafe: true })
let base = null
const net = new Net((stream) => { base.replicate(stream) })
const swarm = new Swarm((stream) => { base.replicate(stream) })

async function core (c) {
  await c.ready()
  return { key: hex(c.key), length: c.length, signed: c.signedLength, hash: hex(await c.treeHash()) }
}

async function state () {
  await base.update()
  const views = {}
  for (const v of base.views()) {
    if (v.name[0] === '_') continue
    const ref = base._viewStore.getViewByName(v.name)
    const c = (ref.batch || ref.core).session()
    views[v.name] = await core(c)
    await c.close()
  }
  const s = base.core.session()
  const system = await core(s)
  await s.close()
  const refs = (l) => l.map((h) => hex(h.key) + ':' + h.length)
  return {
    local: hex(base.local.key),
    length: base.local.length,
    writable: base.writable,
    indexer: base.isIndexer,
    confirmed: base.indexedLength,
    members: base.system.members,
    indexers: refs(base.system.indexers),
    pending: base.system.pendingIndexers.map(hex),
    heads: refs(base.system.heads),
    system,
    views
  }
}

const commands = {
  // {ops: [op], optimistic}: one append.
  append: async (o) => ({ length: await base.append(o.ops.map((op) => b4a.from(JSON.stringify(op))), { optimistic: o.optimistic === true }) }),
  // {ops: [op]}: one append each.
  each: async (o) => {
    for (const op of o.ops) await base.append(b4a.from(JSON.stringify(op)))
    return { length: base.local.length }
  },
  ack: async () => { await base.ack() },
  hint: (o) => { base.hintWakeup({ key: unhex(o.key), length: o.length === undefined ? -1 : o.length }) },
  forward: async () => { await base.forceFastForward() },
  state,
  get: async (o) => {
    const n = await base.view.kv.get(b4a.from(o.key))
    return { value: n ? b4a.toString(n.value) : null }
  },
  // What is known of the writers' logs and who has them open.
  writers: () => ({
    writers: [...base.activeWriters].map((w) => ({
      key: hex(w.core.key),
      given: w.length,
      length: w.core.length,
      active: w.isActive,
      seen: w.seenLength,
      peers: w.core.peers.map((p) => hex(p.remotePublicKey).slice(0, 8) + ' ' + p.remoteLength + (p.remoteOpened ? '' : ' opening'))
    }))
  }),
  oplog: async () => {
    const blocks = []
    for (let i = 0; i < base.local.length; i++) blocks.push(hex(await base.local.session({ valueEncoding: 'binary' }).get(i)))
    return { blocks }
  }
}

async function main () {
  await store.ready()
  base = new Autobase(store.session(), bootstrap ? unhex(bootstrap) : null, {
    open,
    close,
    apply,
    valueEncoding: 'binary',
    ackInterval: Number(env.ACK_INTERVAL || 0),
    ackThreshold: 0,
    fastForward: env.FAST_FORWARD === '1',
    optimistic: env.OPTIMISTIC === '1',
    encryptionKey: env.ENCRYPTION ? unhex(env.ENCRYPTION) : null
  })
  base.on('error', (err) => say({ event: 'base-error', message: err.message, stack: err.stack }))
  base.on('warning', (err) => say({ event: 'warning', message: err.message }))
  base.on('fast-forward', (to, from) => say({ event: 'fast-forward', to, from }))
  base.on('interrupt', (reason) => say({ event: 'interrupt', reason: String(reason) }))
  await base.ready()
  serve({ ...net.commands(), ...swarm.commands(), ...commands }, async () => { await base.close(); await store.close() })
  say({ event: 'ready', hypercore: version, key: hex(base.key), local: hex(base.local.key) })
}
main().catch((err) => { console.error(err); process.exit(1) })
