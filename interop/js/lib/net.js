'use strict'
// TCP connections with a Noise secret stream on each. The TCP role and the Noise role are independent.
// Only 127.0.0.1 is ever bound or dialled.
const net = require('net')
const NoiseSecretStream = require('@hyperswarm/secret-stream')
const { say } = require('./commands')

class Net {
  // onstream(stream) attaches cores to a new secret stream.
  constructor (onstream) {
    this.onstream = onstream
    this.streams = new Set()
    this.servers = new Set()
    this.count = 0
    this.stopped = false
  }

  attach (socket, isInitiator) {
    socket.setNoDelay(true)
    const n = this.count++
    const s = new NoiseSecretStream(isInitiator, socket)
    this.streams.add(s)
    socket.on('error', () => {})
    s.on('error', (err) => say({ event: 'stream-error', stream: n, message: err.message }))
    s.on('close', () => { this.streams.delete(s); say({ event: 'stream-close', stream: n }) })
    s.on('connect', () => say({
      event: 'connect',
      stream: n,
      isInitiator,
      handshakeHash: s.handshakeHash.toString('hex'),
      remotePublicKey: s.remotePublicKey.toString('hex')
    }))
    this.onstream(s)
    return n
  }

  commands () {
    return {
      // {initiator: noise role of the connections that come in, default false} -> {port}
      listen: (o) => new Promise((resolve, reject) => {
        const server = net.createServer((socket) => this.attach(socket, o.initiator === true))
        this.servers.add(server)
        server.on('error', reject)
        server.listen(o.port || 0, '127.0.0.1', () => resolve({ port: server.address().port }))
      }),
      // {port, initiator: default true} -> {stream}; {keep: true} connects again whenever the connection ends
      connect: (o) => new Promise((resolve, reject) => {
        const again = () => { if (o.keep && !this.stopped) setTimeout(dial, 30) }
        const dial = () => {
          const socket = net.connect(o.port, '127.0.0.1')
          socket.once('error', (err) => { reject(err); again() })
          socket.once('connect', () => {
            socket.once('close', again)
            resolve({ stream: this.attach(socket, o.initiator !== false) })
          })
        }
        dial()
      }),
      // Ends the reconnecting.
      unkeep: () => { this.stopped = true },
      // Drops all connections at once, without a word to the other side.
      cut: () => {
        const n = this.streams.size
        for (const s of this.streams) s.rawStream.destroy()
        return { cut: n }
      },
      // Stops taking connections.
      unlisten: () => {
        for (const s of this.servers) s.close()
        this.servers.clear()
      },
      streams: () => ({ streams: this.streams.size })
    }
  }
}

module.exports = Net
