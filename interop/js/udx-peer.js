'use strict'
// A bare UDX stream over loopback.
//
//   node udx-peer.js echo <id> <remote-id>
//        says which port it has, takes the source of the first packet as its remote, sends back data and messages,
//        ends when the other side has
//   node udx-peer.js send <id> <remote-id> <port> <bytes> <messages>
//        connects, writes the bytes (byte i is i * 7 >> 3), ends, and compares what comes back
//
// Lines on stdin: "quit", "destroy".
const UDX = require('udx-native')
const b4a = require('b4a')

const [mode, id, remoteId, port, size, messages] = process.argv.slice(2)
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')

const u = new UDX()
const sock = u.createSocket()
sock.bind(0, '127.0.0.1')

const stream = u.createStream(Number(id), {
  firewall (socket, port, host) {
    if (!stream.connected) stream.connect(socket, Number(remoteId), port, host)
    return false
  }
})
stream.on('error', (e) => say({ event: 'error', message: e.message }))
stream.on('close', () => {
  say({ event: 'close', mtu: stream.mtu, retransmits: stream.retransmits })
  sock.close()
})

if (mode === 'echo') {
  let bytes = 0
  stream.on('data', (d) => {
    bytes += d.byteLength
    if (!stream.write(d)) {
      stream.pause()
      stream.once('drain', () => stream.resume())
    }
  })
  stream.on('message', (m) => stream.trySend(m))
  stream.on('end', () => {
    say({ event: 'end', bytes })
    stream.end()
  })
} else {
  const total = Number(size)
  const byte = (i) => (Math.floor(i * 7 / 8)) & 255
  let sent = 0
  let got = 0
  let wrong = -1
  const seen = new Set()
  const write = () => {
    while (sent < total) {
      const chunk = b4a.alloc(Math.min(50000, total - sent))
      for (let i = 0; i < chunk.byteLength; i++) chunk[i] = byte(sent + i)
      sent += chunk.byteLength
      if (!stream.write(chunk)) {
        say({ event: 'waiting', sent })
        return stream.once('drain', write)
      }
    }
    stream.end()
  }
  stream.on('data', (d) => {
    for (let i = 0; i < d.byteLength && wrong < 0; i++) if (d[i] !== byte(got + i)) wrong = got + i
    got += d.byteLength
  })
  stream.on('message', (m) => seen.add(b4a.toString(m)))
  stream.on('end', () => say({ event: 'end', bytes: got, wrong, messages: seen.size }))
  stream.connect(sock, Number(remoteId), Number(port), '127.0.0.1')
  for (let i = 0; i < Number(messages); i++) stream.trySend(b4a.from('message ' + i))
  write()
}
say({ event: 'listening', port: sock.address().port })

process.stdin.setEncoding('utf8')
process.stdin.on('data', (s) => {
  if (s.includes('destroy')) stream.destroy()
  if (s.includes('quit')) process.exit(0)
})
process.stdin.on('end', () => process.exit(0))
