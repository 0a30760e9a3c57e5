'use strict'
// A client of a relay, as it is.
//
//   node relay-client.js URL custodial|own
//
// "own" keeps its keys. Says {event: 'ready', key} when it is connected.
const DHT = require('@hyperswarm/dht-relay')
const Stream = require('@hyperswarm/dht-relay/ws')
const WebSocket = require('ws')
const { say, serve } = require('./lib/commands')
const { hex, unhex } = require('./lib/cores')

const [url, mode] = process.argv.slice(2)
const socket = new WebSocket(url)
socket.on('close', (code, reason) => say({ event: 'socket-close', code, reason: String(reason) }))
const dht = new DHT(new Stream(true, socket), { custodial: mode === 'custodial' })
const servers = new Map()

const results = async (query) => {
  const found = new Set()
  let replies = 0
  for await (const r of query) {
    replies++
    for (const p of r.peers) found.add(hex(p.publicKey))
  }
  return { keys: [...found], replies }
}

serve({
  // {key, text} or {key, seed, size} -> {key: own, hash, echo}: connects, sends, waits for as much, and ends.
  echo: (o) => new Promise((resolve, reject) => {
    const s = dht.connect(unhex(o.key))
    const sent = o.text !== undefined ? Buffer.from(o.text) : Buffer.alloc(o.size, o.seed)
    const got = []
    let size = 0
    s.on('error', reject)
    s.on('data', (d) => {
      got.push(d)
      size += d.length
      if (size >= sent.length) s.end()
    })
    s.on('end', () => s.end())
    s.on('close', () => {
      const echo = Buffer.concat(got)
      resolve({
        key: hex(dht.defaultKeyPair.publicKey),
        hash: hex(s.handshakeHash),
        size,
        same: echo.equals(sent),
        echo: o.text !== undefined ? String(echo) : undefined
      })
    })
    const piece = o.piece || sent.length
    for (let i = 0; i < sent.length; i += piece) s.write(sent.subarray(i, i + piece))
  }),
  // {name, refuse} -> {key, host, port}: a server that sends back what it gets.
  listen: async (o) => {
    const keyPair = DHT.keyPair()
    const server = dht.createServer({ firewall: (remote) => { say({ event: 'firewall', name: o.name, remote: hex(remote) }); return o.refuse === true } }, (s) => {
      say({ event: 'connection', name: o.name, remote: hex(s.remotePublicKey) })
      s.on('data', (d) => s.write(d))
      s.on('end', () => s.end())
      s.on('error', (err) => say({ event: 'stream-error', message: err.message }))
      s.on('close', () => say({ event: 'stream-close', name: o.name }))
    })
    servers.set(o.name, server)
    await server.listen(keyPair)
    return { key: hex(keyPair.publicKey), host: server.address().host, port: server.address().port }
  },
  // {name}
  close: (o) => servers.get(o.name).close(),
  // {topic} -> {key}
  announce: async (o) => {
    const keyPair = dht.defaultKeyPair
    await results(dht.announce(unhex(o.topic), keyPair))
    return { key: hex(keyPair.publicKey) }
  },
  unannounce: (o) => dht.unannounce(unhex(o.topic), dht.defaultKeyPair),
  lookup: (o) => results(dht.lookup(unhex(o.topic))),
  destroy: () => dht.destroy()
}, () => dht.destroy())

dht.ready().then(() => say({ event: 'ready', key: hex(dht.defaultKeyPair.publicKey) }))
