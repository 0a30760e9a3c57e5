'use strict'
// The generators of data that both sides share; the Go twin is prng.go.

// 32-bit xorshift (13, 17, 5). The seed must not be 0.
class Prng {
  constructor (seed) { this.x = seed >>> 0 }
  next () {
    let x = this.x
    x = (x ^ (x << 13)) >>> 0
    x = (x ^ (x >>> 17)) >>> 0
    x = (x ^ (x << 5)) >>> 0
    this.x = x
    return x
  }

  below (n) { return this.next() % n }
}

// Deterministic bytes: little endian 32-bit words of the generator.
function prngBytes (seed, length) {
  const r = new Prng(seed)
  const buf = Buffer.alloc(Math.ceil(length / 4) * 4)
  for (let i = 0; i < buf.length; i += 4) buf.writeUInt32LE(r.next(), i)
  return buf.subarray(0, length)
}

// Block i of the common test log: 'block-<i>|' followed by (i*7 mod 23) bytes of value i mod 251.
function testBlock (i) {
  return Buffer.concat([Buffer.from('block-' + i + '|'), Buffer.alloc((i * 7) % 23, i % 251)])
}

module.exports = { Prng, prngBytes, testBlock }
