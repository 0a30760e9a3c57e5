'use strict'
// Hypercores without a store: any number of them on every connection. Commands: lib/cores.js and lib/net.js.
//
//   node core-peer.js [storageDir]
//
// open takes {core: name, key | seed, compat, encryption, push, linger, active, attach: false}. Every core is attached
// to every connection, unless attach is false. HYPERCORE_VERSION chooses the version.
const version = require('./lib/version')
const path = require('path')
const Hypercore = require('hypercore')
const crypto = require('hypercore-crypto')
const { say, serve } = require('./lib/commands')
const { Cores, unhex } = require('./lib/cores')
const Net = require('./lib/net')

const dir = path.resolve(process.argv[2] || 'cores')
const attached = new Set()

function open (o) {
  const opts = {}
  if (o.seed) opts.keyPair = crypto.keyPair(unhex(o.seed))
  if (o.compat) opts.compat = true
  if (o.encryption) opts.encryptionKey = unhex(o.encryption)
  if (o.push) opts.allowPush = true
  if (o.active === false) opts.active = false
  if (o.linger !== undefined) opts.notDownloadingLinger = o.linger
  const core = new Hypercore(path.join(dir, o.dir || o.core), o.key ? unhex(o.key) : null, opts)
  if (o.attach === false) core.unattached = true
  return core
}

const net = new Net((stream) => { for (const core of attached) core.replicate(stream, { keepAlive: true }) })
const cores = new Cores(open, (core) => {
  core.on('close', () => attached.delete(core))
  if (core.unattached) return
  attached.add(core)
  for (const stream of net.streams) core.replicate(stream, { keepAlive: true })
})

serve({ ...net.commands(), ...cores.commands() }, () => cores.closeAll())
say({ event: 'ready', hypercore: version })
