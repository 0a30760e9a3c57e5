'use strict'
// A HyperDHT network on 127.0.0.1 and peers in it. Run it where there is no way out.
//
//   node relay-net.js [nodes]
//
// Says {event: 'ready', bootstrap: 'host:port'} and takes commands; a peer is a HyperDHT node with a key pair of its own.
const createTestnet = require('hyperdht/testnet')
const DHT = require('hyperdht')
const http = require('http')
const { WebSocketServer } = require('ws')
const { relay } = require('@hyperswarm/dht-relay')
const RelayStream = require('@hyperswarm/dht-relay/ws')
const { say, serve } = require('./lib/commands')
const { hex, unhex } = require('./lib/cores')

const host = '127.0.0.1'
const peers = new Map()
let testnet = null

function peer (o) {
  const name = o.peer || 'peer'
  if (!peers.has(name)) peers.set(name, new DHT({ host, bootstrap: testnet.bootstrap }))
  return peers.get(name)
}

const results = async (query) => {
  const found = new Set()
  for await (const r of query) for (const p of r.peers) found.add(hex(p.publicKey))
  return { keys: [...found] }
}

const commands = {
  // {peer, refuse} -> {key}: a server that sends back what it gets and ends when its client does.
  listen: async (o) => {
    const keyPair = DHT.keyPair()
    const server = peer(o).createServer({ firewall: () => o.refuse === true }, (s) => {
      say({ event: 'connection', key: hex(keyPair.publicKey), remote: hex(s.remotePublicKey) })
      s.on('data', (d) => s.write(d))
      s.on('end', () => s.end())
      s.on('error', () => {})
      s.on('close', () => say({ event: 'close', key: hex(keyPair.publicKey), remote: hex(s.remotePublicKey) }))
    })
    await server.listen(keyPair)
    return { key: hex(keyPair.publicKey) }
  },
  // {peer, key, text} -> {key: own, echo}: connects, sends text, waits for as much, and ends.
  echo: (o) => new Promise((resolve, reject) => {
    const s = peer(o).connect(unhex(o.key))
    let echo = ''
    s.on('error', reject)
    s.on('data', (d) => {
      echo += d
      if (echo.length >= o.text.length) s.end()
    })
    s.on('end', () => s.end())
    s.on('close', () => resolve({ key: hex(s.publicKey), echo }))
    s.write(Buffer.from(o.text))
  }),
  // {peer, topic} -> {key}
  announce: async (o) => {
    const keyPair = DHT.keyPair()
    for await (const _ of peer(o).announce(unhex(o.topic), keyPair, [])) { /* until done */ }
    return { key: hex(keyPair.publicKey) }
  },
  // {peer, topic} -> {keys}
  lookup: (o) => results(peer(o).lookup(unhex(o.topic))),
  // {} -> {url}: a relay of the reference implementation
  relay: (o) => new Promise((resolve, reject) => {
    const server = http.createServer()
    new WebSocketServer({ server }).on('connection', (socket) => relay(peer(o), new RelayStream(false, socket)))
    server.on('error', reject)
    server.listen(0, host, () => resolve({ url: `ws://${host}:${server.address().port}` }))
  })
}

createTestnet(Number(process.argv[2]) || 8, { host, port: 0 }).then((t) => {
  testnet = t
  serve(commands)
  say({ event: 'ready', bootstrap: `${t.bootstrap[0].host}:${t.bootstrap[0].port}` })
})
