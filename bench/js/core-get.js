'use strict'
// Random local get from a core of COUNT blocks of SIZE bytes (made first if DIR lacks it), reopened, warm page cache.
const Hypercore = require('hypercore')
const { args, block, rng, tmp, rm, now, rss, cpu, pct, emit } = require('./lib')
const o = args({ size: 100, count: 100000, reads: 50000, inflight: 1, dir: '' })
;(async () => {
  const dir = o.dir || tmp('get')
  let core = new Hypercore(dir)
  await core.ready()
  if (core.length < o.count) {
    const per = Math.max(1, Math.min(1000, Math.floor(4e6 / o.size)))
    for (let i = core.length; i < o.count; i += per) {
      const b = []
      for (let j = i; j < Math.min(o.count, i + per); j++) b.push(block(j, o.size))
      await core.append(b)
    }
  }
  await core.close()
  core = new Hypercore(dir)
  await core.ready()
  const rand = rng(42)
  const lat = []
  let left = o.reads
  const worker = async () => {
    while (left-- > 0) {
      const i = Math.floor(rand() * o.count)
      const a = now()
      const b = await core.get(i)
      lat.push(now() - a)
      if (b.length !== o.size || b.readUInt32LE(0) !== i) throw new Error('bad block')
    }
  }
  const c0 = cpu()
  const t0 = now()
  await Promise.all(Array.from({ length: o.inflight }, worker))
  const ms = now() - t0
  const cpuS = cpu(c0)
  emit('core-get', o.reads / ms * 1000, 'gets/s', { size: o.size, count: o.count, reads: o.reads, inflight: o.inflight }, {
    p50_ms: pct(lat, 0.5), p99_ms: pct(lat, 0.99), cpu_s: cpuS, rss_mb: rss(), mb_per_s: o.reads * o.size / 1e6 / (ms / 1000)
  })
  await core.close()
  if (!o.dir) rm(dir)
})()
