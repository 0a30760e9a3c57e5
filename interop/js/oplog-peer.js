'use strict'
// Replays operation logs and tells what the logs became, so that another implementation can compare. Every job has
// cores of its own, derived from its name.
//
//   node oplog-peer.js primaryKeyHex
//
// Command {cmd: "job", kind: "core" | "bee" | "drive", name, encryption, alwaysDuplicate, ops: [..]}. Bytes are hex.
//   core:  ["append", block..], ["truncate", length], ["clear", start, end]
//   bee:   ["put", key, value | null, cas?], ["del", key, cas?], ["get", key], ["batch"], ["flush"], ["close"],
//          ["back", n]; cas is what the compare function says when it is asked
//   drive: ["put", path, seed, size, executable, metadata], ["del", path], ["symlink", path, to], ["batch"], ["flush"],
//          ["close"], ["back", n]
// back truncates to the version before the last n operations outside of batches and flushes, if there is such a one.
const version = require('./lib/version')
const path = require('path')
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')
const Hyperdrive = require('hyperdrive')
const { say, serve } = require('./lib/commands')
const { hex, unhex } = require('./lib/cores')
const { prngBytes } = require('./lib/prng')

const store = new Corestore(path.resolve('oplogs'), { primaryKey: unhex(process.argv[2]), unsafe: true })

async function state (core) {
  return {
    key: hex(core.key),
    length: core.length,
    fork: core.fork,
    byteLength: core.byteLength,
    treeHash: hex(await core.treeHash()),
    signature: hex(core.state.signature)
  }
}

// Versions to go back to: record is called before an operation, back returns where to truncate to, 0 for not at all.
class Versions {
  constructor () { this.list = [] }
  record (version) { this.list.push(version) }
  back (n) {
    if (this.list.length < n) return 0
    const v = this.list[this.list.length - n]
    this.list.length -= n
    return v >= 2 ? v : 0
  }
}

const open = (o) => store.get({ name: o.name, encryption: o.encryption ? { key: unhex(o.encryption) } : null })

async function coreJob (o) {
  const core = open(o)
  await core.ready()
  for (const [op, ...a] of o.ops) {
    if (op === 'append') await core.append(a.map(unhex))
    else if (op === 'truncate') await core.truncate(a[0])
    else if (op === 'clear') await core.clear(a[0], a[1])
    else throw new Error('unknown operation ' + op)
  }
  const r = await state(core)
  await core.close()
  return r
}

async function beeJob (o) {
  const core = open(o)
  const bee = new Hyperbee(core, { alwaysDuplicate: o.alwaysDuplicate !== false })
  await bee.ready()
  const gets = []
  const versions = new Versions()
  let batch = null
  for (const [op, ...a] of o.ops) {
    const t = batch || bee
    if (batch ? op === 'flush' : op === 'put' || op === 'del') versions.record(core.length)
    const cas = (x) => (typeof x === 'boolean' ? { cas: () => x } : undefined)
    if (op === 'put') await t.put(unhex(a[0]), unhex(a[1]), cas(a[2]))
    else if (op === 'del') await t.del(unhex(a[0]), cas(a[1]))
    else if (op === 'get') {
      const e = await t.get(unhex(a[0]))
      gets.push(e && { seq: e.seq, value: hex(e.value) })
    } else if (op === 'batch') batch = bee.batch()
    else if (op === 'flush') { await batch.flush(); batch = null } else if (op === 'close') { await batch.close(); batch = null } else if (op === 'back') {
      const v = versions.back(a[0])
      if (v && v < core.length) await core.truncate(v)
    } else throw new Error('unknown operation ' + op)
  }
  const r = { ...(await state(core)), gets }
  await bee.close()
  return r
}

async function driveJob (o) {
  const drive = new Hyperdrive(store.namespace(o.name), o.encryption ? { encryptionKey: unhex(o.encryption) } : {})
  await drive.ready()
  const versions = new Versions()
  let batch = null
  for (const [op, ...a] of o.ops) {
    const t = batch || drive
    if (batch ? op === 'flush' : op === 'put' || op === 'del' || op === 'symlink') versions.record(drive.core.length)
    if (op === 'put') await t.put(a[0], prngBytes(a[1], a[2]), { executable: a[3], metadata: a[4] })
    else if (op === 'del') await t.del(a[0])
    else if (op === 'symlink') await t.symlink(a[0], a[1])
    else if (op === 'batch') batch = drive.batch()
    else if (op === 'flush') { await batch.flush(); batch = null } else if (op === 'close') { await batch.close(); batch = null } else if (op === 'back') {
      const v = versions.back(a[0])
      if (v && v < drive.core.length) await drive.truncate(v)
    } else throw new Error('unknown operation ' + op)
  }
  const blobs = await drive.getBlobs()
  const r = { ...(await state(drive.core)), blobs: await state(blobs.core) }
  await drive.close()
  return r
}

const kinds = { core: coreJob, bee: beeJob, drive: driveJob }

async function main () {
  await store.ready()
  serve({ job: (o) => kinds[o.kind](o) }, () => store.close())
  say({ event: 'ready', hypercore: version })
}
main().catch((err) => { console.error(err); process.exit(1) })
