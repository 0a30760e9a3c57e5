'use strict'
// noise-curve-ed for the browser: the sodium of browsers lacks multiplication on the Edwards curve.
const { ed25519 } = require('@noble/curves/ed25519')
const sodium = require('sodium-universal')
const b4a = require('b4a')

const { Point } = ed25519
const little = (b) => BigInt('0x' + b4a.toString(b4a.from(b).reverse(), 'hex'))

function generateKeyPair (privKey) {
  const seed = privKey ? privKey.subarray(0, 32) : ed25519.utils.randomPrivateKey()
  const publicKey = b4a.from(ed25519.getPublicKey(seed))
  return { publicKey, secretKey: b4a.concat([seed, publicKey]) }
}

function dh (publicKey, { scalar, secretKey }) {
  if (!scalar) {
    const hash = b4a.alloc(64)
    sodium.crypto_hash_sha512(hash, secretKey.subarray(0, 32))
    scalar = hash.subarray(0, 32)
    scalar[0] &= 248
    scalar[31] &= 127
    scalar[31] |= 64
  }
  const p = Point.fromHex(publicKey) // canonical and on the curve
  if (p.isSmallOrder() || !p.isTorsionFree()) throw new Error('unusable public key')
  return b4a.from(p.multiply(little(scalar) % Point.Fn.ORDER).toBytes())
}

module.exports = { DHLEN: 32, PKLEN: 32, SCALARLEN: 32, SKLEN: 64, ALG: 'Ed25519', name: 'Ed25519', generateKeyPair, dh }
