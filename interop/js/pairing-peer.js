'use strict'
// blind-pairing on a Hyperswarm of its own DHT, as member and as candidate.
//
//   node pairing-peer.js
//
// Commands: lib/swarm.js and those below. Bytes are hex. With {apart: true} in swarm2 the swarm joins no topic, so that
// only records carry anything.
const BlindPairing = require('blind-pairing')
const Hyperswarm = require('hyperswarm')
const z32 = require('z32')
const { say, serve } = require('./lib/commands')
const { hex, unhex } = require('./lib/cores')

let swarm = null
let blind = null
const members = new Map()
const opt = (v) => (v ? unhex(v) : null)
const apart = () => ({ isServer: true, isClient: true, destroy: async () => {}, flushed: async () => {} })

const commands = {
  // {bootstrap, apart, poll}
  start: async (o) => {
    swarm = new Hyperswarm({ bootstrap: o.bootstrap })
    if (o.apart) swarm.join = apart
    swarm.on('connection', (s) => { s.on('error', () => {}); say({ event: 'connection', remotePublicKey: hex(s.remotePublicKey) }) })
    blind = new BlindPairing(swarm, { poll: o.poll || 2000 })
    await swarm.dht.fullyBootstrapped()
  },
  // {key, data, expires, sensitive} -> {invite (z32), id, publicKey, discoveryKey, additional}
  createInvite: (o) => {
    const r = BlindPairing.createInvite(unhex(o.key), { data: o.data ? unhex(o.data) : undefined, expires: o.expires, sensitive: o.sensitive })
    return {
      invite: z32.encode(r.invite),
      id: hex(r.id),
      publicKey: hex(r.publicKey),
      discoveryKey: hex(r.discoveryKey),
      additional: r.additional && { data: hex(r.additional.data), signature: hex(r.additional.signature) }
    }
  },
  // {discoveryKey, publicKey, key, encryptionKey, additional, deny}: answers every request; event "request" for each
  member: async (o) => {
    const m = blind.addMember({
      discoveryKey: unhex(o.discoveryKey),
      async onadd (req) {
        req.open(unhex(o.publicKey))
        say({ event: 'request', inviteId: hex(req.inviteId), userData: hex(req.userData), receipt: hex(req.receipt) })
        if (o.deny) req.deny({ status: o.deny })
        else {
          req.confirm({
            key: unhex(o.key),
            encryptionKey: opt(o.encryptionKey),
            additional: o.additional && { data: unhex(o.additional.data), signature: unhex(o.additional.signature) }
          })
        }
      }
    })
    members.set(o.discoveryKey, m)
    await m.flushed()
  },
  closeMember: async (o) => { await members.get(o.discoveryKey).close() },
  // {invite, userData} -> {key, encryptionKey, data} once a member has accepted
  candidate: async (o) => {
    const c = blind.addCandidate({ invite: z32.decode(o.invite), userData: unhex(o.userData), async onadd () {} })
    c.request.on('rejected', (err) => say({ event: 'rejected', code: err.code || err.message }))
    c.on('announce', () => say({ event: 'announced' }))
    const r = await c.pairing
    return { key: hex(r.key), encryptionKey: r.encryptionKey && hex(r.encryptionKey), data: r.data && hex(r.data) }
  },
  // {receipt, publicKey} -> {userData} if it is valid
  verifyReceipt: (o) => {
    const r = BlindPairing.verifyReceipt(unhex(o.receipt), unhex(o.publicKey))
    return { userData: r ? hex(r) : null }
  }
}

serve(commands, async () => {
  if (blind) await blind.close()
  if (swarm) await swarm.destroy()
})
say({ event: 'ready' })
