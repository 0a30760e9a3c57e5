'use strict'
// Hyperbees in a corestore that replicates on every connection. Commands: lib/cores.js, lib/net.js and those below;
// keys and values are hex.
//
//   node bee-peer.js [storageDir [primaryKeyHex]]
const version = require('./lib/version')
const path = require('path')
const { createHash } = require('crypto')
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')
const { say, serve } = require('./lib/commands')
const { Cores, hex, unhex } = require('./lib/cores')
const Net = require('./lib/net')

const [dir = 'bees', primaryKey] = process.argv.slice(2)
const store = new Corestore(path.resolve(dir), primaryKey ? { primaryKey: unhex(primaryKey), unsafe: true } : {})
const net = new Net((stream) => { store.replicate(stream) })
const cores = new Cores()
const bees = new Map()

const bee = (o) => {
  const b = bees.get(o.core)
  if (!b) throw new Error('no such bee: ' + o.core)
  return b
}

function rangeOf (o) {
  const r = {}
  for (const k of ['gt', 'gte', 'lt', 'lte']) if (o[k] !== undefined) r[k] = unhex(o[k])
  return r
}

function options (o) {
  const r = {}
  if (o.reverse) r.reverse = true
  if (o.limit !== undefined) r.limit = o.limit
  return r
}

// Entries are summed up in a digest (seq u32le, then key and value with u32le lengths), and listed when there are few.
class Sum {
  constructor () {
    this.hash = createHash('sha256')
    this.count = 0
    this.entries = []
  }

  add (e) {
    const n = (x) => { const b = Buffer.alloc(4); b.writeUInt32LE(x); return b }
    this.count++
    this.hash.update(n(e.seq)).update(n(e.key.length)).update(e.key)
    this.hash.update(n(e.value === null ? 0xffffffff : e.value.length))
    if (e.value) this.hash.update(e.value)
    if (this.count <= 100) this.entries.push({ seq: e.seq, key: hex(e.key), value: hex(e.value) })
  }

  result () {
    return { count: this.count, digest: this.hash.digest('hex'), entries: this.count <= 100 ? this.entries : null }
  }
}

const key = (i) => Buffer.from('key-' + String(i).padStart(8, '0'))
const value = (i, size) => Buffer.from(('value-' + i + '-').padEnd(size || 0, 'v'))

const own = {
  // {core: label, name | key, encryption, extension}
  bee: async (o) => {
    const opts = o.key ? { key: unhex(o.key) } : { name: o.name || o.core }
    if (o.encryption) opts.encryption = { key: unhex(o.encryption) }
    const core = store.get(opts)
    await core.ready()
    const w = cores.watch(o.core, core)
    const b = new Hyperbee(core, { extension: o.extension !== false })
    bees.set(o.core, b)
    await b.ready()
    return w.info()
  },
  put: async (o) => { await bee(o).put(unhex(o.key), unhex(o.value)) },
  del: async (o) => { await bee(o).del(unhex(o.key)) },
  // {start, n, batch: entries per batch, size}: puts key-<8 digits> -> value-<i>-vvv, with the event "filled" per batch
  fill: async (o) => {
    const step = o.batch || 1
    for (let i = o.start || 0, end = i + o.n; i < end; i += step) {
      const b = bee(o).batch()
      for (let j = i; j < Math.min(end, i + step); j++) await b.put(key(j), value(j, o.size))
      await b.flush()
      if (o.events) say({ event: 'filled', core: o.core, to: Math.min(end, i + step) })
    }
    return { version: bee(o).version }
  },
  beeget: async (o) => {
    const e = await bee(o).get(unhex(o.key))
    return { found: e !== null, seq: e && e.seq, value: e && hex(e.value) }
  },
  // {gt, gte, lt, lte, reverse, limit, at: version} -> {count, digest, entries}
  range: async (o) => {
    const b = o.at ? bee(o).checkout(o.at) : bee(o)
    const s = new Sum()
    for await (const e of b.createReadStream(rangeOf(o), options(o))) s.add(e)
    return { ...s.result(), version: b.version }
  },
  history: async (o) => {
    const s = new Sum()
    for await (const e of bee(o).createHistoryStream({ ...options(o) })) s.add(e)
    return s.result()
  },
  // {from: version} -> what changed since
  diff: async (o) => {
    const r = []
    for await (const d of bee(o).createDiffStream(o.from)) r.push({ left: d.left && hex(d.left.key), right: d.right && hex(d.right.key) })
    return { diff: r }
  },
  version: (o) => ({ version: bee(o).version }),
  beeupdate: async (o) => ({ changed: await bee(o).update({ wait: true }), version: bee(o).version })
}

async function main () {
  await store.ready()
  serve({ ...net.commands(), ...cores.commands(), ...own }, () => store.close())
  say({ event: 'ready', hypercore: version })
}
main().catch((err) => { console.error(err); process.exit(1) })
