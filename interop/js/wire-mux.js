'use strict'
// Protomux over secret-stream over loopback TCP: a server whose channels echo, and which opens and closes channels at
// random.
//
//   node wire-mux.js <initiator|responder> <rounds>
//
// Channels are of protocol "p" with an id of one byte. What the other side opens is opened here too, after a while,
// unless id % 4 is 3. Each side sends the id as handshake; a message 0 comes back as message 1. On message 2 (empty)
// the random rounds begin, and go on until a tenth of them has met the other side; "done" tells how they went.
const net = require('net')
const SecretStream = require('@hyperswarm/secret-stream')
const Protomux = require('protomux')
const c = require('compact-encoding')
const b4a = require('b4a')

const [role, rounds] = process.argv.slice(2)
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')
const counts = { opened: 0, closed: 0, messages: 0, echoes: 0 }

function start (raw) {
  const s = new SecretStream(role === 'initiator', raw)
  const mux = new Protomux(s)
  const channels = new Map()
  const pairing = new Map()

  function open (id) {
    if (channels.has(id)) return
    const ch = mux.createChannel({
      protocol: 'p',
      id: b4a.from([id]),
      handshake: c.raw,
      messages: [
        {
          encoding: c.raw,
          onmessage (m) {
            counts.messages++
            ch.messages[1].send(m)
          }
        },
        {
          encoding: c.raw,
          onmessage (m) {
            if (m.byteLength !== 1 || m[0] !== id) say({ event: 'error', message: 'echo of another channel' })
            counts.echoes++
          }
        },
        // A handler that returns a promise would keep the mux corked until the promise is done.
        { encoding: c.raw, onmessage: () => { churn() } }
      ],
      onopen (handshake) {
        if (handshake[0] !== id) say({ event: 'error', message: 'handshake of another channel' })
        counts.opened++
        ch.messages[0].send(b4a.from([id]))
      },
      onclose () {
        counts.closed++
        if (channels.get(id) === ch) channels.delete(id)
      }
    })
    if (ch === null) return
    channels.set(id, ch)
    ch.open(b4a.from([id]))
  }

  async function churn () {
    for (let i = 0; i < Number(rounds) || counts.opened < Number(rounds) / 10; i++) {
      const id = 1 + Math.floor(Math.random() * 40)
      // protomux 3.12.1 forgets the opens of a name that is opened and closed here while a pair callback of that name
      // runs (_gc deletes by key, not by identity); later answers then end the stream.
      if (pairing.get(id)) continue
      const ch = channels.get(id)
      if (!ch) open(id)
      else ch.close()
      // Sometimes several steps before anything is read, sometimes time for answers.
      if (Math.random() < 0.5) await new Promise((resolve) => setTimeout(resolve, Math.random() < 0.2 ? 1 : 0))
    }
    say({ event: 'done', ...counts })
  }

  mux.pair({ protocol: 'p' }, async (id) => {
    pairing.set(id[0], (pairing.get(id[0]) || 0) + 1)
    for (let i = Math.floor(Math.random() * 4); i > 0; i--) await new Promise((resolve) => setImmediate(resolve))
    if (id[0] % 4 !== 3) open(id[0])
    queueMicrotask(() => queueMicrotask(() => pairing.set(id[0], pairing.get(id[0]) - 1)))
  })
  s.on('error', (e) => say({ event: 'error', message: e.message }))
  s.on('close', () => say({ event: 'close', ...counts }))
}

process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
const server = net.createServer(start)
server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }))
