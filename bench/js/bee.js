'use strict'
// Hyperbee over a Hypercore on disk. Keys 'key-%08d' in the order (i * 7919) mod KEYS (7919 is prime, coprime to KEYS); values = block(i, VSIZE).
// phases: put-single (SINGLE keys, each put awaited), then put-batch (the rest, BATCH per batch, flush awaited),
// then reopen: get random (READS, one at a time), range scan whole, RANGES x range of 100.
const Hypercore = require('hypercore')
const Hyperbee = require('hyperbee')
const { args, block, rng, du, tmp, rm, now, rss, peakRss, cpu, pct, emit } = require('./lib')
const o = args({ keys: 100000, vsize: 32, batch: 1000, single: 5000, reads: 20000, ranges: 500 })
const key = (i) => 'key-' + String(i).padStart(8, '0')
;(async () => {
  const dir = tmp('bee')
  const open = async () => {
    const core = new Hypercore(dir)
    const bee = new Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'binary' })
    await bee.ready()
    return bee
  }
  let bee = await open()
  const P = { keys: o.keys, vsize: o.vsize }
  const order = (i) => (i * 7919) % o.keys
  let t = now(); let c = cpu()
  for (let i = 0; i < o.single; i++) await bee.put(key(order(i)), block(i, o.vsize))
  let ms = now() - t
  const b0 = bee.core.byteLength
  if (o.single) emit('bee-put-single', o.single / ms * 1000, 'puts/s', { ...P, single: o.single }, { cpu_s: cpu(c), block_bytes_per_key: b0 / o.single })
  t = now(); c = cpu()
  for (let i = o.single; i < o.keys; i += o.batch) {
    const b = bee.batch()
    for (let j = i; j < Math.min(o.keys, i + o.batch); j++) await b.put(key(order(j)), block(j, o.vsize))
    await b.flush()
  }
  ms = now() - t
  const k = o.keys - o.single
  emit('bee-put-batch', k / ms * 1000, 'puts/s', { ...P, batch: o.batch }, { cpu_s: cpu(c), block_bytes_per_key: (bee.core.byteLength - b0) / k, rss_mb: rss(), peak_rss_mb: peakRss() })
  await bee.close()
  const disk = du(dir)
  bee = await open()
  const rand = rng(5); const lat = []
  t = now(); c = cpu()
  for (let i = 0; i < o.reads; i++) {
    const a = now()
    const e = await bee.get(key(Math.floor(rand() * o.keys)))
    lat.push(now() - a)
    if (!e) throw new Error('missing')
  }
  ms = now() - t
  emit('bee-get', o.reads / ms * 1000, 'gets/s', { ...P, reads: o.reads }, { cpu_s: cpu(c), p50_ms: pct(lat, 0.5), p99_ms: pct(lat, 0.99), disk_bytes_per_key: disk / o.keys })
  await bee.close(); bee = await open()
  t = now(); c = cpu(); let n = 0
  for await (const e of bee.createReadStream()) n += e ? 1 : 0 // eslint-disable-line
  ms = now() - t
  if (n !== o.keys) throw new Error('scan saw ' + n)
  emit('bee-scan', n / ms * 1000, 'entries/s', P, { ms, cpu_s: cpu(c) })
  t = now(); c = cpu(); n = 0; const rl = []
  for (let i = 0; i < o.ranges; i++) {
    const s = Math.floor(rand() * (o.keys - 100)); const a = now()
    for await (const e of bee.createReadStream({ gte: key(s), lt: key(s + 100) })) n += e ? 1 : 0 // eslint-disable-line
    rl.push(now() - a)
  }
  emit('bee-range100', pct(rl, 0.5), 'ms', { ...P, ranges: o.ranges }, { cpu_s: cpu(c), p99_ms: pct(rl, 0.99), entries_per_s: n / (now() - t) * 1000, rss_mb: rss() })
  await bee.close()
  rm(dir)
})()
