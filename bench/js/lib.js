'use strict'
// Shared helpers of the benchmark programs. Modules come from NODE_PATH.
const fs = require('fs')
const os = require('os')
const path = require('path')

// --key value / --flag
function args (defaults) {
  const out = { ...defaults }
  const a = process.argv.slice(2)
  for (let i = 0; i < a.length; i++) {
    if (!a[i].startsWith('--')) continue
    const k = a[i].slice(2)
    const d = defaults[k]
    if (i + 1 < a.length && !a[i + 1].startsWith('--')) {
      const v = a[++i]
      out[k] = typeof d === 'number' ? Number(v) : typeof d === 'boolean' ? v === 'true' : v
    } else out[k] = true
  }
  return out
}

// The data pool: POOL bytes of xorshift32 (seed 1), words little-endian.
const POOL = 16 * 1024 * 1024
let _pool = null
function pool () {
  if (_pool) return _pool
  const w = new Uint32Array(POOL / 4)
  let x = 1
  for (let i = 0; i < w.length; i++) {
    x ^= x << 13; x >>>= 0
    x ^= x >>> 17
    x ^= x << 5; x >>>= 0
    w[i] = x
  }
  return (_pool = Buffer.from(w.buffer))
}

// Block i of size s: pool[o, o+s), o = (i * 63352) mod (POOL - s); first 8 bytes = i (u64 LE) if s >= 8.
function block (i, s) {
  const p = pool()
  const o = (i * 63352) % (POOL - s)
  const b = Buffer.allocUnsafeSlow(s)
  p.copy(b, 0, o, o + s)
  if (s >= 8) { b.writeUInt32LE(i >>> 0, 0); b.writeUInt32LE(Math.floor(i / 4294967296), 4) }
  return b
}

// rng: mulberry32(seed) -> [0,1)
function rng (seed) {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6D2B79F5) >>> 0
    let t = a
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function du (dir) { // apparent bytes
  let n = 0
  for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
    const f = path.join(dir, e.name)
    if (e.isDirectory()) n += du(f)
    else { try { n += fs.statSync(f).size } catch {} }
  }
  return n
}

function tmp (tag) {
  const base = process.env.BENCH_TMP || os.tmpdir()
  return fs.mkdtempSync(path.join(base, 'b-' + tag + '-'))
}
// With BENCH_KEEP the benchmark removes temporary folders itself.
function rm (dir) { if (process.env.BENCH_KEEP) return; try { fs.rmSync(dir, { recursive: true, force: true, maxRetries: 3 }) } catch {} }
const now = () => Number(process.hrtime.bigint()) / 1e6 // ms
const rss = () => Math.round(process.memoryUsage.rss() / 1048576)
function peakRss () { return Math.round(process.resourceUsage().maxRSS / 1024) }
function cpu (since) { const c = process.cpuUsage(since); return since ? (c.user + c.system) / 1e6 : c }
// ms since the benchmark started this process, if it said when that was
function sinceStart () {
  const t = Number(process.env.BENCH_START_NS)
  return t ? Date.now() - t / 1e6 : undefined
}
function pct (arr, p) { const s = Float64Array.from(arr).sort(); return s[Math.min(s.length - 1, Math.floor(s.length * p))] }
const r3 = (x) => Number(x.toPrecision(4))

function emit (name, value, unit, params, extra) {
  const line = { name, value: r3(value), unit, params }
  if (extra) {
    line.extra = {}
    for (const k in extra) line.extra[k] = typeof extra[k] === 'number' ? r3(extra[k]) : extra[k]
  }
  console.log(JSON.stringify(line))
}

module.exports = { args, pool, block, rng, du, tmp, rm, now, rss, peakRss, cpu, sinceStart, pct, emit, POOL }
