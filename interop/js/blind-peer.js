'use strict'
// A blind peer.
//
//   node blind-peer.js storageDir
//
// Commands below; {run} comes first.
require('./lib/version')
const path = require('path')
const b4a = require('b4a')
const BlindPeer = require('blind-peer')
const { say, serve } = require('./lib/commands')

const hex = (b) => b ? b4a.toString(b, 'hex') : null
const unhex = (s) => b4a.from(s, 'hex')
const [dir] = process.argv.slice(2)
let peer = null

const commands = {
  // {bootstrap: [{host, port}], trusted: [hex], maxBytes} -> {publicKey}
  run: async (o) => {
    peer = new BlindPeer(path.resolve(dir), { bootstrap: o.bootstrap, trustedPubKeys: (o.trusted || []).map(unhex), maxBytes: o.maxBytes || 1e9 })
    peer.on('add-cores-received', (s, r) => say({ event: 'order', client: hex(s.remotePublicKey), cores: r.cores.map((c) => hex(c.key)), referrer: hex(r.referrer), priority: r.priority, announce: r.announce }))
    peer.on('add-cores-downgrade-announce', () => say({ event: 'downgrade' }))
    peer.on('muxer-error', (err) => say({ event: 'muxer-error', message: err.message }))
    await peer.listen()
    return { publicKey: hex(peer.publicKey) }
  },
  // {key} -> the record, the length that it is of, and whether all blocks are here. The log is longer a moment before the
  // record says so.
  record: async (o) => {
    const r = await peer.db.get('@blind-peer/cores', { key: unhex(o.key) })
    if (!r) return { found: false }
    const core = peer.store.get({ key: unhex(o.key) })
    await core.ready()
    const out = { found: true, recorded: r.length, length: core.length, contiguous: core.contiguousLength, bytes: r.bytesAllocated, priority: r.priority, announce: r.announce, referrer: hex(r.referrer), cleared: r.blocksCleared }
    await core.close()
    return out
  }
}

serve(commands, async () => { if (peer) await peer.close() })
say({ event: 'ready' })
