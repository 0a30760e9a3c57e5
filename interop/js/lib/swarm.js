'use strict'
// A Hyperswarm on a DHT of its own: nothing is ever asked of the public one.
const Hyperswarm = require('hyperswarm')
const { say } = require('./commands')
const { hex, unhex } = require('./cores')

class Swarm {
  // onstream(stream) attaches cores to a new connection.
  constructor (onstream) {
    this.onstream = onstream
    this.swarm = null
  }

  describe (s) {
    return { remotePublicKey: hex(s.remotePublicKey), isInitiator: s.isInitiator, handshakeHash: hex(s.handshakeHash) }
  }

  commands () {
    return {
      // {bootstrap: [{host, port}], seed} -> {publicKey}; a swarm that was there before is destroyed
      swarm: async (o) => {
        if (this.swarm) await this.swarm.destroy()
        this.swarm = new Hyperswarm({ bootstrap: o.bootstrap, seed: unhex(o.seed) })
        this.swarm.on('connection', (s, info) => {
          say({ event: 'connection', ...this.describe(s), client: info.client, topics: info.topics.map(hex) })
          s.on('error', (err) => say({ event: 'connection-error', ...this.describe(s), message: err.message }))
          s.on('close', () => say({ event: 'connection-close', ...this.describe(s) }))
          this.onstream(s)
        })
        return { publicKey: hex(this.swarm.keyPair.publicKey) }
      },
      swarmListen: async () => { await this.swarm.listen() },
      // {topic, server, client}: answers when it is announced
      swarmJoin: async (o) => {
        await this.swarm.join(unhex(o.topic), { server: o.server !== false, client: o.client !== false }).flushed()
      },
      swarmLeave: async (o) => { await this.swarm.leave(unhex(o.topic)) },
      swarmFlush: async () => { await this.swarm.flush() },
      joinPeer: (o) => { this.swarm.joinPeer(unhex(o.key)) },
      leavePeer: (o) => { this.swarm.leavePeer(unhex(o.key)) },
      // -> the open ones, and how many were ever dialed
      connections: () => ({ connections: [...this.swarm.connections].map((s) => this.describe(s)), dialed: this.swarm.stats.connects.client.attempted }),
      suspend: async () => { await this.swarm.suspend() },
      resume: async () => { await this.swarm.resume() },
      unswarm: async () => { await this.swarm.destroy(); this.swarm = null }
    }
  }
}

module.exports = Swarm
