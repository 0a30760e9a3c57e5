'use strict'
// keet-identity-key: makes and verifies proofs. Bytes are hex.
//
//   node identity-peer.js
const IdentityKey = require('keet-identity-key')
const crypto = require('hypercore-crypto')
const { say, serve } = require('./lib/commands')
const { hex, unhex } = require('./lib/cores')

const pair = (seed) => crypto.keyPair(unhex(seed))
const opt = (v) => (v === undefined || v === null ? null : unhex(v))

serve({
  // {mnemonic} -> the keys that follow
  keys: async (o) => {
    const id = await IdentityKey.from({ mnemonic: o.mnemonic })
    return {
      identity: hex(id.identityPublicKey),
      discovery: hex(id.profileDiscoveryPublicKey),
      discoveryEncryption: hex(id.getProfileDiscoveryEncryptionKey()),
      encryption: hex(id.getEncryptionKey(unhex(o.profile)))
    }
  },
  mnemonic: () => ({ mnemonic: IdentityKey.generateMnemonic() }),
  // {mnemonic, device} -> {proof}
  bootstrap: async (o) => ({ proof: hex(await (await IdentityKey.from({ mnemonic: o.mnemonic })).bootstrap(unhex(o.device))) }),
  // {device, seed of the parent, proof} -> {proof}
  attestDevice: (o) => ({ proof: hex(IdentityKey.attestDevice(unhex(o.device), pair(o.seed), unhex(o.proof))) }),
  // {data, seed, proof} -> {proof}
  attestData: (o) => ({ proof: hex(IdentityKey.attestData(unhex(o.data), pair(o.seed), o.proof && unhex(o.proof))) }),
  // {proof, data, identity, device, receipt} -> {valid, identity, device, receipt}
  verify: (o) => {
    const r = IdentityKey.verify(unhex(o.proof), opt(o.data), {
      expectedIdentity: opt(o.identity), expectedDevice: opt(o.device), receipt: opt(o.receipt)
    })
    return r ? { valid: true, identity: hex(r.identityPublicKey), device: hex(r.devicePublicKey), receipt: hex(r.receipt) } : { valid: false }
  }
})
say({ event: 'ready' })
