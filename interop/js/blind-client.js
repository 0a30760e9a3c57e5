'use strict'
// A client of blind peers: an autobase and plain cores in one store.
//
//   node blind-client.js storageDir primaryKeyHex [bootstrapHex]
//
// Environment: ENCRYPTION=hex. Operations: lib/base-app.js. Commands below; {online} connects.
require('./lib/version')
const path = require('path')
const b4a = require('b4a')
const c = require('compact-encoding')
const crypto = require('hypercore-crypto')
const Corestore = require('corestore')
const Autobase = require('autobase')
const HyperDHT = require('hyperdht')
const Wakeup = require('protomux-wakeup')
const ProtomuxRPC = require('protomux-rpc')
const BlindPeering = require('blind-peering')
const { AddCoreEncoding, DeleteCoreEncoding } = require('blind-peer-encodings')
const { open, close, apply } = require('./lib/base-app')
const { say, serve } = require('./lib/commands')

const hex = (b) => b ? b4a.toString(b, 'hex') : null
const unhex = (s) => b4a.from(s, 'hex')
const [dir, primaryKey, bootstrap] = process.argv.slice(2)

const store = new Corestore(path.resolve(dir), { primaryKey: unhex(primaryKey), unsafe: true })
const wakeup = new Wakeup()
const cores = new Map()
let base = null
let dht = null
let peering = null
let keyPair = null

const commands = {
  // {bootstrap: [{host, port}], mirrors: [hex], seed} -> {publicKey}
  online: (o) => {
    keyPair = crypto.keyPair(unhex(o.seed))
    dht = new HyperDHT({ bootstrap: o.bootstrap, keyPair })
    peering = new BlindPeering(dht, store, { wakeup, keys: o.mirrors.map(unhex), batchIdleWait: 200, batchMaxWait: 500 })
    peering.keyPair = keyPair
    return { publicKey: hex(keyPair.publicKey) }
  },
  offline: async () => {
    await peering.close()
    await dht.destroy()
  },
  // {announce}
  addBase: async (o) => { await peering.addAutobase(base, { announce: o.announce === true }) },
  // {name, blocks: [text], announce} -> {key}
  addCore: async (o) => {
    const core = store.get({ name: o.name })
    await core.ready()
    cores.set(o.name, core)
    await core.append(o.blocks)
    await peering.addCore(core, { announce: o.announce === true })
    return { key: hex(core.key), length: core.length }
  },
  // {name, blocks}
  appendCore: async (o) => { await cores.get(o.name).append(o.blocks) },
  // {key, index}: reads a core of anybody
  read: async (o) => {
    const core = store.get({ key: unhex(o.key) })
    await core.ready()
    await peering.addCore(core)
    const b = await core.get(o.index)
    return { text: b4a.toString(b) }
  },
  append: async (o) => { await base.append(o.ops.map((op) => b4a.from(JSON.stringify(op)))) },
  state: async () => {
    await base.update()
    return { length: base.view.log.length, signed: base.view.log.signedLength, writable: base.writable, members: base.system.members }
  },
  get: async (o) => {
    const n = await base.view.kv.get(b4a.from(o.key))
    return { value: n ? b4a.toString(n.value) : null }
  },
  // {mirror, method, key, announce, priority, seed}: a call, with the key of a seed or the own one
  call: async (o) => {
    const s = dht.connect(unhex(o.mirror), { keyPair: o.seed ? crypto.keyPair(unhex(o.seed)) : keyPair })
    s.on('error', () => {})
    const rpc = new ProtomuxRPC(s, { id: unhex(o.mirror), valueEncoding: c.none })
    await rpc.fullyOpened()
    try {
      const key = unhex(o.key)
      if (o.method === 'delete-core') return { existed: await rpc.request(o.method, { key }, DeleteCoreEncoding) }
      if (o.method !== 'add-core') await rpc.request(o.method, null)
      const r = await rpc.request('add-core', { key, announce: o.announce === true, priority: o.priority || 0 }, AddCoreEncoding)
      return { length: r.length, bytes: r.bytesAllocated, priority: r.priority, announce: r.announce }
    } catch (err) {
      return { code: err.code, message: err.message, cause: err.cause ? err.cause.message : null }
    } finally {
      s.destroy()
    }
  }
}

async function main () {
  await store.ready()
  base = new Autobase(store.session(), bootstrap ? unhex(bootstrap) : null, {
    open,
    close,
    apply,
    wakeup,
    valueEncoding: 'binary',
    ackInterval: 0,
    ackThreshold: 0,
    fastForward: true,
    encryptionKey: process.env.ENCRYPTION ? unhex(process.env.ENCRYPTION) : null
  })
  base.on('error', (err) => say({ event: 'base-error', message: err.message, stack: err.stack }))
  await base.ready()
  serve(commands, async () => { if (peering) await commands.offline(); await base.close(); await store.close() })
  say({ event: 'ready', key: hex(base.key), local: hex(base.local.key) })
}
main().catch((err) => { console.error(err); process.exit(1) })
