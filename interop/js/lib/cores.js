'use strict'
// Commands on named cores. How a core is opened is the business of the program (a bare hypercore or a corestore).
const crypto = require('hypercore-crypto')
const { createHash } = require('crypto')
const { say, patience } = require('./commands')
const { Prng, prngBytes, testBlock } = require('./prng')

const hex = (b) => (b === null || b === undefined ? null : Buffer.from(b).toString('hex'))
const unhex = (s) => (s === null || s === undefined ? null : Buffer.from(s, 'hex'))
const told = ['append', 'truncate', 'peer-add', 'peer-remove', 'manifest', 'conflict', 'verification-error', 'invalid-request', 'remote-contiguous-length']

class Watched {
  constructor (name, core) {
    this.name = name
    this.core = core
    this.downloads = new Map() // block -> times
    this.uploads = new Map()
    this.waiters = new Set()
    this.extensions = new Map()
    this.download = null
    const poke = () => { for (const w of this.waiters) w() }
    core.on('download', (i) => { this.downloads.set(i, (this.downloads.get(i) || 0) + 1); poke() })
    core.on('upload', (i) => { this.uploads.set(i, (this.uploads.get(i) || 0) + 1); poke() })
    for (const event of told) {
      core.on(event, (...args) => {
        say({
          event,
          core: name,
          args: args.filter((x) => typeof x === 'number' || typeof x === 'string'),
          error: (args.find((x) => x instanceof Error) || {}).message,
          length: core.length,
          fork: core.fork
        })
        poke()
      })
    }
    core.on('close', poke)
  }

  // Resolves when test() is true. It is looked at after every event of the core, and now and then in between because
  // not every change has an event.
  until (test, what) {
    return new Promise((resolve, reject) => {
      const done = (err) => {
        clearInterval(tick)
        clearTimeout(timer)
        this.waiters.delete(check)
        if (err) reject(err)
        else resolve()
      }
      const check = () => {
        try { if (test()) done() } catch (err) { done(err) }
      }
      const tick = setInterval(check, 20)
      const timer = setTimeout(() => done(new Error('timeout waiting for ' + what + ': ' + JSON.stringify(this.info()))), patience)
      this.waiters.add(check)
      check()
    })
  }

  remoteContiguous () {
    if (this.core.remoteContiguousLength !== undefined) return this.core.remoteContiguousLength
    return Math.max(0, ...this.core.peers.map((p) => p.remoteContiguousLength)) // hypercore 10
  }

  info () {
    const core = this.core
    const state = core.core.state || core.core.tree
    return {
      key: hex(core.key),
      id: core.id,
      discoveryKey: hex(core.discoveryKey),
      publicKey: core.keyPair ? hex(core.keyPair.publicKey) : null,
      writable: core.writable,
      length: core.length,
      fork: core.fork,
      byteLength: core.byteLength,
      contiguousLength: core.contiguousLength,
      remoteContiguousLength: this.remoteContiguous(),
      treeHash: hex(crypto.tree(state.roots)),
      signature: hex(state.signature),
      manifest: core.manifest && core.getManifest ? hex(core.getManifest({ raw: true })) : null,
      peers: core.peers.map((p) => ({
        remoteLength: p.remoteLength,
        remoteFork: p.remoteFork,
        remoteContiguousLength: p.remoteContiguousLength,
        paused: p.paused
      })),
      stats: core.replicator ? core.replicator.stats : null
    }
  }
}

function sum (map) {
  let n = 0
  for (const v of map.values()) n += v
  return n
}

class Cores {
  // open(o) returns a core that is not ready yet; onopen(core) is called when it is.
  constructor (open, onopen = () => {}) {
    this.open = open
    this.onopen = onopen
    this.named = new Map()
  }

  get (o) {
    const c = this.named.get(o.core)
    if (!c) throw new Error('no such core: ' + o.core)
    return c
  }

  // Registers a core that something else opened.
  watch (name, core) {
    const w = new Watched(name, core)
    this.named.set(name, w)
    return w
  }

  commands () {
    const timeout = patience
    return {
      // {core: name, ...} -> info. {blocks: n} appends the first n test blocks, {download: true} wants all, for ever.
      open: async (o) => {
        const core = this.open(o)
        await core.ready()
        const w = this.watch(o.core, core)
        if (o.blocks && core.length < o.blocks) {
          const blocks = []
          for (let i = core.length; i < o.blocks; i++) blocks.push(testBlock(i))
          await core.append(blocks)
        }
        if (o.download) w.download = core.download({ start: 0, end: -1 })
        this.onopen(core)
        return w.info()
      },
      close: async (o) => {
        const w = this.get(o)
        this.named.delete(o.core)
        await w.core.close()
      },
      info: (o) => this.get(o).info(),
      // {length, fork, contiguous}: waits until the core is exactly there -> info
      wait: async (o) => {
        const w = this.get(o)
        const c = w.core
        await w.until(() => (o.length === undefined || c.length === o.length) &&
          (o.atLeast === undefined || c.length >= o.atLeast) &&
          (o.fork === undefined || c.fork === o.fork) &&
          (o.contiguous === undefined || c.contiguousLength === o.contiguous) &&
          (o.remoteContiguous === undefined || w.remoteContiguous() === o.remoteContiguous) &&
          (o.peers === undefined || c.peers.length === o.peers) &&
          (o.downloaded === undefined || w.downloads.size >= o.downloaded), JSON.stringify(o))
        return w.info()
      },
      // {blocks: [hex]} or {text} or {n: count of test blocks} or {random: seed, n, size}
      append: async (o) => {
        const core = this.get(o).core
        let blocks = []
        if (o.blocks) blocks = o.blocks.map(unhex)
        else if (o.text !== undefined) blocks = [Buffer.from(o.text)]
        else if (o.random) for (let i = 0; i < o.n; i++) blocks.push(prngBytes(o.random + i, o.size))
        else for (let i = 0; i < o.n; i++) blocks.push(testBlock(core.length + i))
        await core.append(blocks)
        return { length: core.length }
      },
      truncate: async (o) => {
        const core = this.get(o).core
        await core.truncate(o.length, o.fork === undefined ? {} : { fork: o.fork })
        return { length: core.length, fork: core.fork }
      },
      clear: async (o) => { await this.get(o).core.clear(o.start, o.end) },
      get: async (o) => {
        const b = await this.get(o).core.get(o.index, { timeout })
        return { hex: hex(b), text: b.toString() }
      },
      // {start, end} -> {digest} over all blocks, each prefixed by its length as u32le
      digest: async (o) => {
        const core = this.get(o).core
        const h = createHash('sha256')
        const all = []
        for (let i = o.start || 0; i < (o.end === undefined ? core.length : o.end); i++) all.push(core.get(i, { timeout }))
        let bytes = 0
        for (const b of await Promise.all(all)) {
          const n = Buffer.alloc(4)
          n.writeUInt32LE(b.length)
          h.update(n).update(b)
          bytes += b.length
        }
        return { digest: h.digest('hex'), blocks: all.length, bytes }
      },
      seek: async (o) => {
        const [block, offset] = await this.get(o).core.seek(o.bytes, { timeout })
        return { block, offset }
      },
      update: async (o) => ({ changed: await this.get(o).core.update({ wait: o.wait !== false }) }),
      has: async (o) => ({ has: await this.get(o).core.has(o.start, o.end === undefined ? o.start + 1 : o.end) }),
      push: async (o) => { await this.get(o).core.replicator.push(o.index) },
      // {start, end, linear, blocks} -> waits until all of it is here
      download: async (o) => {
        const range = o.blocks ? { blocks: o.blocks } : { start: o.start || 0, end: o.end === undefined ? -1 : o.end, linear: o.linear === true }
        const d = this.get(o).core.download(range)
        if (range.end !== -1) await (d.done ? d.done() : d.downloaded())
      },
      // Counters of blocks since the start: total and distinct, downloaded and uploaded, {blocks: true} lists them.
      counts: (o) => {
        const w = this.get(o)
        const r = { downloads: sum(w.downloads), downloaded: w.downloads.size, uploads: sum(w.uploads), uploaded: w.uploads.size }
        if (o.blocks) {
          r.downloadedBlocks = [...w.downloads.keys()].sort((a, b) => a - b)
          r.uploadedBlocks = [...w.uploads.keys()].sort((a, b) => a - b)
        }
        return r
      },
      // {name}: registers an extension, whose messages become events
      extension: (o) => {
        const w = this.get(o)
        w.extensions.set(o.name, w.core.registerExtension(o.name, {
          encoding: 'binary',
          onmessage: (m) => say({ event: 'extension', core: w.name, name: o.name, hex: hex(m), text: Buffer.from(m).toString() })
        }))
      },
      broadcast: (o) => { this.get(o).extensions.get(o.name).broadcast(Buffer.from(o.text)) },
      // Random appends and, with {truncates: true}, truncates: {seed, ops} -> info
      load: async (o) => {
        const w = this.get(o)
        const core = w.core
        const r = new Prng(o.seed)
        for (let i = 0; i < o.ops; i++) {
          if (o.truncates && core.length > 2 && r.below(5) === 0) {
            await core.truncate(core.length - 1 - r.below(Math.min(core.length - 1, 12)))
          } else {
            const blocks = []
            for (let n = 1 + r.below(8); n > 0; n--) blocks.push(prngBytes(1 + r.next() % 1000000, r.below(300)))
            await core.append(blocks)
          }
          await new Promise((resolve) => setTimeout(resolve, r.below(4)))
        }
        return w.info()
      },
      // Random mutations of ours would hide in a fork: a last marker block says the load is over.
      mark: async (o) => { await this.get(o).core.append(Buffer.from('the end')) }
    }
  }

  async closeAll () {
    for (const w of this.named.values()) await w.core.close()
  }
}

module.exports = { Cores, hex, unhex }
