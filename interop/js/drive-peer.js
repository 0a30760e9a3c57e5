'use strict'
// Hyperdrives in a corestore that replicates on every connection. Commands: lib/net.js, lib/swarm.js and those below.
//
//   node drive-peer.js [storageDir [primaryKeyHex]]
//
// The cores of a drive d are known to the core commands of lib/cores.js as d/db and d/blobs.
const version = require('./lib/version')
const path = require('path')
const { createHash } = require('crypto')
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const Localdrive = require('localdrive')
const { say, serve, patience } = require('./lib/commands')
const { Cores, hex, unhex } = require('./lib/cores')
const { prngBytes } = require('./lib/prng')
const Net = require('./lib/net')
const Swarm = require('./lib/swarm')

const [dir = 'drives', primaryKey] = process.argv.slice(2)
const store = new Corestore(path.resolve(dir), primaryKey ? { primaryKey: unhex(primaryKey), unsafe: true } : {})
const net = new Net((stream) => { store.replicate(stream) })
const swarm = new Swarm((stream) => { store.replicate(stream) })
const cores = new Cores()
const drives = new Map()

const sha = (b) => createHash('sha256').update(b).digest('hex')
const at = (o) => {
  const d = drives.get(o.drive)
  if (!d) throw new Error('no such drive: ' + o.drive)
  return o.at ? d.checkout(o.at) : d
}
const content = (o) => (o.hex !== undefined ? unhex(o.hex) : o.text !== undefined ? Buffer.from(o.text) : prngBytes(o.seed, o.size))
const meta = (o) => ({ executable: o.executable === true, metadata: o.metadata === undefined ? null : o.metadata })

async function contents (o) {
  const blobs = await at(o).getBlobs()
  if (blobs && !cores.named.has(o.drive + '/blobs')) cores.watch(o.drive + '/blobs', blobs.core)
  return blobs
}

async function info (o) {
  const d = at(o)
  const blobs = await contents(o)
  return {
    key: hex(d.key),
    id: d.id,
    discoveryKey: hex(d.discoveryKey),
    contentKey: hex(d.contentKey),
    version: d.version,
    fork: d.core.fork,
    writable: d.writable,
    treeHash: hex(await d.core.treeHash()),
    blobsLength: blobs.core.length,
    blobsByteLength: blobs.core.byteLength,
    blobsTreeHash: hex(await blobs.core.treeHash())
  }
}

// Copies between a drive and a folder and says what was done.
async function mirror (from, to, o) {
  const opts = { prune: o.prune !== false, dedup: o.dedup === true, includeEquals: false, batch: o.batch === true }
  if (o.prefix) opts.prefix = o.prefix
  const m = from.mirror(to, opts)
  await m.done()
  return { count: m.count, bytesAdded: m.bytesAdded, bytesRemoved: m.bytesRemoved }
}

const own = {
  // {drive: label, name: namespace | key, encryption} -> key, and the rest of info for a writer
  drive: async (o) => {
    const opts = o.encryption ? { encryptionKey: unhex(o.encryption) } : {}
    const d = o.key
      ? new Hyperdrive(store.session(), unhex(o.key), opts)
      : new Hyperdrive(store.namespace(o.name || o.drive), opts)
    await d.ready()
    drives.set(o.drive, d)
    cores.watch(o.drive + '/db', d.core)
    return d.writable ? info(o) : { key: hex(d.key), version: d.version, writable: false }
  },
  driveinfo: info,
  // As much as is known now, without a wait for peers.
  version: (o) => ({ version: at(o).version }),
  // Waits until the drive is at a version (and fork) -> version
  drivewait: async (o) => {
    const d = at(o)
    await cores.get({ core: o.drive + '/db' }).until(() => d.version >= o.version && (o.fork === undefined || d.core.fork === o.fork), 'version ' + o.version)
    return { version: d.version, fork: d.core.fork }
  },
  // {path, hex | text | seed and size, executable, metadata}
  put: async (o) => { await at(o).put(o.path, content(o), meta(o)); return { version: at(o).version } },
  // As put, but through a write stream in 64 KiB pieces.
  stream: async (o) => {
    const ws = at(o).createWriteStream(o.path, meta(o))
    const b = content(o)
    await new Promise((resolve, reject) => {
      ws.on('error', reject).on('close', resolve)
      for (let i = 0; i < b.length; i += 65536) ws.write(b.subarray(i, i + 65536))
      ws.end()
    })
    return { version: at(o).version }
  },
  // {path, size, page}: a large file of zeros, each page of which begins with its number as a u64le
  big: async (o) => {
    const ws = at(o).createWriteStream(o.path)
    const done = new Promise((resolve, reject) => ws.on('error', reject).on('close', resolve))
    for (let offset = 0; offset < o.size; offset += 65536) {
      const b = Buffer.alloc(Math.min(65536, o.size - offset))
      for (let i = 0; i + 8 <= b.length; i += o.page) b.writeBigUInt64LE(BigInt((offset + i) / o.page + 1), i)
      if (!ws.write(b)) await new Promise((resolve) => ws.once('drain', resolve))
    }
    ws.end()
    await done
    return { size: (await at(o).entry(o.path)).value.blob.byteLength }
  },
  del: async (o) => { await at(o).del(o.path); return { version: at(o).version } },
  symlink: async (o) => { await at(o).symlink(o.path, o.to); return { version: at(o).version } },
  truncate: async (o) => { await at(o).truncate(o.version); return { version: at(o).version } },
  clear: async (o) => { await at(o).clear(o.path) },
  get: async (o) => {
    const b = await at(o).get(o.path, { timeout: patience, follow: o.follow })
    if (b === null) return { found: false }
    const r = { found: true, size: b.length, sha256: sha(b) }
    if (b.length <= 4096) r.text = b.toString()
    return r
  },
  entry: async (o) => ({ entry: await at(o).entry(o.path) }),
  // {path, start, length} -> the bytes in the middle of a file
  read: async (o) => {
    const parts = []
    for await (const b of at(o).createReadStream(o.path, { start: o.start, length: o.length })) parts.push(b)
    const b = Buffer.concat(parts)
    const r = { size: b.length, sha256: sha(b) }
    if (b.length <= 4096) r.hex = hex(b)
    return r
  },
  // {folder} -> every entry; {contents: true} reads the files too
  list: async (o) => {
    const entries = []
    await contents(o)
    for await (const e of at(o).list(o.folder || '/')) {
      const f = { key: e.key, seq: e.seq, executable: e.value.executable, linkname: e.value.linkname, metadata: e.value.metadata, size: e.value.blob ? e.value.blob.byteLength : 0 }
      if (o.contents && e.value.blob) {
        const b = await at(o).get(e)
        f.size = b.length
        f.sha256 = sha(b)
      }
      entries.push(f)
    }
    return { entries }
  },
  readdir: async (o) => {
    const names = []
    for await (const n of at(o).readdir(o.folder || '/')) names.push(n)
    return { names: names.sort() }
  },
  diff: async (o) => {
    const r = []
    for await (const d of at(o).diff(o.from, o.folder || '/')) r.push([d.left && d.left.key, d.right && d.right.key])
    return { diff: r }
  },
  // {dir, dedup, prune, prefix}: folder -> drive
  import: async (o) => {
    const m = await mirror(new Localdrive(o.dir), at(o), o)
    return { ...m, ...(await info(o)) }
  },
  // {dir, prune, prefix}: drive -> folder
  export: async (o) => mirror(at(o), new Localdrive(o.dir), o),
  download: async (o) => {
    const d = await at(o).download(o.folder || '/')
    if (d && d.done) await d.done()
  },
  // {n, size, seed}: one batch of many small files /many/<i>/<j>
  fill: async (o) => {
    const b = at(o).batch()
    for (let i = 0; i < o.n; i++) await b.put('/many/' + (i % 100) + '/' + i + '.bin', prngBytes(o.seed + i, o.size))
    await b.flush()
    return { version: at(o).version }
  },
  // One event for every change seen from now on.
  watch: async (o) => {
    const w = at(o).watch(o.folder || '/')
    await w.ready()
    ;(async () => {
      for await (const [current, previous] of w) {
        const diff = []
        for await (const d of current.diff(previous.version)) diff.push([d.left && d.left.key, d.right && d.right.key])
        say({ event: 'changed', drive: o.drive, version: current.version, diff })
      }
    })().catch((err) => say({ event: 'watch-error', message: err.message }))
  },
  driveupdate: async (o) => {
    const d = at(o)
    const done = d.findingPeers()
    const timer = setTimeout(done, 10000)
    if (d.core.peers.length) done()
    else d.core.once('peer-add', done)
    const changed = await d.update({ wait: true })
    clearTimeout(timer)
    return { changed, version: d.version }
  },
  closedrive: async (o) => { await at(o).close(); drives.delete(o.drive) }
}

async function main () {
  await store.ready()
  serve({ ...cores.commands(), ...net.commands(), ...swarm.commands(), ...own }, () => store.close())
  say({ event: 'ready', hypercore: version })
}
main().catch((err) => { console.error(err); process.exit(1) })
