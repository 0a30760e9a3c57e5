'use strict'
// A corestore that replicates on every connection. Commands: lib/cores.js and lib/net.js.
//
//   node store-peer.js [storageDir [primaryKeyHex]]
//
// open takes {core: label, name | key, namespaces: [..], encryption, active}. derive {name, namespaces} tells what the
// store makes of a name.
const version = require('./lib/version')
const path = require('path')
const Corestore = require('corestore')
const { say, serve, patience } = require('./lib/commands')
const { Cores, hex, unhex } = require('./lib/cores')
const Net = require('./lib/net')

const [dir = 'store', primaryKey] = process.argv.slice(2)
const root = new Corestore(path.resolve(dir), primaryKey ? { primaryKey: unhex(primaryKey), unsafe: true } : {})

function namespaced (o) {
  let store = root
  for (const n of o.namespaces || []) store = store.namespace(n)
  return store
}

function open (o) {
  const opts = { active: o.active !== false }
  if (o.key) opts.key = unhex(o.key)
  else opts.name = o.name || o.core
  if (o.encryption) opts.encryption = { key: unhex(o.encryption) }
  return namespaced(o).get(opts)
}

const net = new Net((stream) => { root.replicate(stream) })
const cores = new Cores(open)

const own = {
  derive: async (o) => {
    const store = namespaced(o)
    const core = store.get({ name: o.name })
    await core.ready()
    const kp = await store.createKeyPair(o.name)
    const r = { namespace: hex(store.ns), publicKey: hex(kp.publicKey), secretKey: hex(kp.secretKey), manifest: hex(core.getManifest({ raw: true })), key: hex(core.key), id: core.id, discoveryKey: hex(core.discoveryKey) }
    await core.close()
    return r
  },
  // {prefix, count, blocks, download}: opens count cores named prefix-i -> {keys}; each gets its own first blocks.
  many: async (o) => {
    const keys = []
    for (let i = 0; i < o.count; i++) {
      const core = root.get({ name: o.prefix + '-' + i })
      await core.ready()
      const blocks = []
      for (let j = core.length; j < o.blocks; j++) blocks.push(Buffer.from(o.prefix + '-' + i + '-' + j))
      if (blocks.length) await core.append(blocks)
      keys.push(hex(core.key))
      await core.close()
    }
    return { keys }
  },
  // {keys, blocks}: opens all by key, downloads the first blocks of each -> {blocks: [[text]]}
  fetchMany: async (o) => ({
    blocks: await Promise.all(o.keys.map(async (k) => {
      const core = root.get({ key: unhex(k) })
      await core.ready()
      const all = []
      for (let j = 0; j < o.blocks; j++) all.push(core.get(j, { timeout: patience }).then((b) => b.toString()))
      const r = await Promise.all(all)
      await core.close()
      return r
    }))
  })
}

async function main () {
  await root.ready()
  serve({ ...net.commands(), ...cores.commands(), ...own }, () => root.close())
  say({ event: 'ready', hypercore: version })
}
main().catch((err) => { console.error(err); process.exit(1) })
