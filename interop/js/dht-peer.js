'use strict'
// HyperDHT nodes that do what they are told: whole networks, servers that echo, clients that check the echo, relays,
// announcements and records. Run it where nothing but loopback or a laboratory can be reached.
//
//   node dht-peer.js
//
// Commands are described where they are defined; see lib/commands.js for the way they come. Keys are hexadecimal,
// addresses "host:port".
const DHT = require('hyperdht')
const createTestnet = require('hyperdht/testnet')
const relay = require('blind-relay')
const b4a = require('b4a')
const { say, serve } = require('./lib/commands')

const hex = (b) => (b ? b4a.toString(b, 'hex') : null)
const unhex = (s) => (s ? b4a.from(s, 'hex') : null)
const addr = (s) => { const [host, port] = s.split(':'); return { host, port: Number(port) } }
const text = (a) => (a ? a.host + ':' + a.port : null)

const nodes = []
const open = new Set()
let dht = null
let last = null // the last connection

function remember (s) {
  last = s
  open.add(s)
  s.on('error', () => {}).on('close', () => open.delete(s))
}

serve({
  // nodes of a network on one host, the first of them a new network's unless bootstrap names one
  async network ({ size, host = '127.0.0.1', bootstrap }) {
    if (bootstrap) {
      for (let i = 0; i < size; i++) {
        const n = new DHT({ ephemeral: false, firewalled: false, bootstrap: bootstrap.map(addr), host })
        await n.fullyBootstrapped()
        nodes.push(n)
      }
    } else {
      const testnet = await createTestnet(size, { host })
      nodes.push(...testnet.nodes)
    }
    return { nodes: nodes.map((n) => text(n.address())), persistent: nodes.filter((n) => !n.ephemeral).length }
  },

  // one persistent node per address; the first is the bootstrap node
  async persistent ({ ips, port }) {
    for (const host of ips) {
      const n = nodes.length === 0
        ? DHT.bootstrapper(port, host, { host })
        : new DHT({ ephemeral: false, firewalled: false, bootstrap: [{ host: ips[0], port }], host, port })
      await n.fullyBootstrapped()
      nodes.push(n)
    }
    return { nodes: nodes.map((n) => text(n.address())) }
  },

  // the node that the commands below use
  async open ({ bootstrap, host, port, reachable }) {
    dht = new DHT({ bootstrap: bootstrap.map(addr), host, port, ...(reachable ? { firewalled: false, ephemeral: false } : {}) })
    await dht.fullyBootstrapped()
    return { host: dht.host, port: dht.port, firewalled: dht.firewalled, local: text(dht.localAddress()), address: text(dht.address()) }
  },

  // an echo server
  async listen ({ relay, share = true, reusable }) {
    const server = dht.createServer({ relayThrough: unhex(relay), shareLocalAddress: share, reusableSocket: reusable }, (s) => {
      remember(s)
      s.on('data', (d) => s.write(d))
      s.on('message', (m) => s.trySend(m))
      s.on('end', () => s.end())
      s.rawStream.on('remote-changed', () => say({ event: 'remote-changed' }))
      say({ event: 'connection', remotePublicKey: hex(s.remotePublicKey) })
    })
    await server.listen(DHT.keyPair())
    return { publicKey: hex(server.publicKey), relayAddresses: server.relayAddresses.map(text) }
  },

  // a client that wants everything back within timeout ms; unordered messages, which may get lost, are sent until they
  // come back. hold then keeps the connection until its path changes, at most so many ms
  connect ({ key, relay, through, size = 65536, messages = 3, hold = 0, timeout = 60000, local = true, reusable }) {
    const t0 = Date.now()
    const s = dht.connect(unhex(key), { reusableSocket: reusable, relayThrough: unhex(relay), relayAddresses: through && through.map(addr), localConnection: local })
    remember(s)
    return new Promise((resolve, reject) => {
      let got = 0
      let opened = 0
      let changed = 0
      let done = false
      const data = b4a.alloc(size, 7)
      const missing = new Set(Array.from({ length: messages }, (_, k) => 'unordered ' + k))
      const send = () => { for (const m of missing) s.trySend(b4a.from(m)) }
      const again = setInterval(() => { if (opened) send() }, 1000)
      const quiet = () => { clearTimeout(timer); clearInterval(again) }
      const timer = setTimeout(() => { reject(new Error('timeout: ' + got + ' bytes, ' + missing.size + ' messages are missing')); s.destroy() }, timeout)
      const maybe = () => {
        if (done || got < size || missing.size > 0) return
        done = true
        quiet()
        const ms = Date.now() - t0
        const end = ms + hold
        const poll = setInterval(() => {
          if (!changed && Date.now() - t0 < end) return
          clearInterval(poll)
          const r = s.rawStream
          resolve({ ms, openMs: opened - t0, changedMs: changed && changed - t0, remote: r ? r.remoteHost + ':' + r.remotePort : null })
          s.end()
        }, 10)
      }
      s.on('open', () => {
        opened = Date.now()
        s.rawStream.on('remote-changed', () => { changed = Date.now() })
        s.write(data)
        send()
      })
      s.on('data', (d) => { for (const x of d) { if (x !== 7) return reject(new Error('corrupt')) } got += d.byteLength; maybe() })
      s.on('message', (m) => { missing.delete(b4a.toString(m)); maybe() })
      s.on('error', (e) => { quiet(); reject(e) })
      s.on('close', () => { quiet(); reject(new Error('closed')) })
    })
  },

  // a client that keeps talking to an echo server until bytes came back; says so every 64 KiB
  talk ({ key, bytes }) {
    const s = dht.connect(unhex(key))
    remember(s)
    return new Promise((resolve, reject) => {
      let got = 0
      let said = 0
      const timer = setInterval(() => s.write(b4a.alloc(4096, 7)), 10)
      const done = (f, v) => { clearInterval(timer); s.destroy(); f(v) }
      s.on('data', (d) => {
        for (const x of d) { if (x !== 7) return done(reject, new Error('corrupt')) }
        got += d.byteLength
        if (got - said >= 65536) say({ event: 'talk', bytes: (said = got) })
        if (got >= bytes) done(resolve, { bytes: got })
      })
      s.on('error', (e) => done(reject, e))
      s.on('close', () => done(reject, new Error('closed after ' + got + ' bytes')))
    })
  },

  // a raw stream beside the last connection, to the other side's stream with an id, that echoes
  async raw ({ stream }) {
    const raw = dht.createRawStream()
    DHT.connectRawStream(last, raw, stream)
    raw.on('data', (d) => raw.write(d)).on('end', () => raw.end()).on('error', () => {})
    return { stream: raw.id }
  },

  // a blind relay
  async relay () {
    const r = new relay.Server({ createStream: (opts) => dht.createRawStream({ ...opts, framed: true }) })
    const server = dht.createServer({ shareLocalAddress: false }, (s) => {
      remember(s)
      const session = r.accept(s, { id: s.remotePublicKey })
      session.on('error', () => {})
      session.on('pair', (isInitiator) => say({ event: 'pair', isInitiator }))
      s.on('close', () => say({ event: 'relay-close' }))
    })
    await server.listen(DHT.keyPair())
    return { publicKey: hex(server.publicKey) }
  },

  async announce ({ topic, seed, relays = [], bump }) {
    const keyPair = DHT.keyPair(unhex(seed))
    await dht.announce(unhex(topic), keyPair, relays.map(addr), { bump }).finished()
    return { publicKey: hex(keyPair.publicKey) }
  },
  async unannounce ({ topic, seed }) { await dht.unannounce(unhex(topic), DHT.keyPair(unhex(seed))) },
  async lookup ({ topic }) {
    const peers = new Map()
    let bump = 0
    for await (const r of dht.lookup(unhex(topic))) {
      for (const p of r.peers) peers.set(hex(p.publicKey), p.relayAddresses.map(text))
      if (r.bump > bump) bump = r.bump
    }
    return { peers: [...peers].map(([publicKey, relays]) => ({ publicKey, relays })), bump }
  },
  async mutablePut ({ seed, value, seq }) { await dht.mutablePut(DHT.keyPair(unhex(seed)), unhex(value), { seq }) },
  async mutableGet ({ key, seq }) {
    const r = await dht.mutableGet(unhex(key), { seq })
    return r ? { seq: r.seq, value: hex(r.value) } : {}
  },
  async immutablePut ({ value }) { return { hash: hex((await dht.immutablePut(unhex(value))).hash) } },
  async immutableGet ({ hash }) { const r = await dht.immutableGet(unhex(hash)); return r ? { value: hex(r.value) } : {} },

  // how many connects per second, one after the other from several at once
  async bench ({ key, count, parallel }) {
    const t0 = Date.now()
    let left = count
    const one = () => new Promise((resolve, reject) => {
      const s = dht.connect(unhex(key))
      s.on('open', () => s.write(b4a.alloc(1)))
      s.on('data', () => { s.end(); resolve() })
      s.on('error', reject)
    })
    const run = async () => { while (left-- > 0) await one() }
    await Promise.all(Array.from({ length: parallel }, run))
    return { ms: Date.now() - t0 }
  }
}, async () => {
  for (const s of open) s.destroy()
  if (dht) await dht.destroy({ force: true })
  for (const n of nodes.reverse()) await n.destroy({ force: true })
})
