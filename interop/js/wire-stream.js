'use strict'
// @hyperswarm/secret-stream over loopback TCP, in any combination of TCP and Noise roles. Echoes every message.
//
//   node wire-stream.js <initiator|responder> [port]
//
// With a port it connects there, otherwise it listens and says where.
const net = require('net')
const SecretStream = require('@hyperswarm/secret-stream')
const b4a = require('b4a')

const [role, port] = process.argv.slice(2)
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')
const hex = (b) => b4a.toString(b, 'hex')

function start (raw) {
  const s = new SecretStream(role === 'initiator', raw)
  s.on('connect', () => say({ event: 'open', publicKey: hex(s.publicKey), remotePublicKey: hex(s.remotePublicKey), handshakeHash: hex(s.handshakeHash) }))
  s.on('data', (d) => {
    if (d.byteLength === 0) return
    if (!s.write(d)) {
      s.pause()
      s.once('drain', () => s.resume())
    }
  })
  s.on('end', () => s.end())
  s.on('error', (e) => say({ event: 'error', message: e.message }))
  s.on('close', () => say({ event: 'close' }))
}

process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
if (port) {
  start(net.connect(Number(port), '127.0.0.1'))
} else {
  const server = net.createServer(start)
  server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }))
}
