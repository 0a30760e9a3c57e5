'use strict'
// Open (constructor to ready()) + first random get of a core in DIR (fresh process). Make it with core-append --keep.
const { args, now, rss, cpu, sinceStart, emit } = require('./lib')
const o = args({ dir: '' })
const r0 = rss()
const c0 = cpu()
const tl = now()
const Hypercore = require('hypercore')
const loadMs = now() - tl
;(async () => {
  const t0 = now()
  const core = new Hypercore(o.dir)
  await core.ready()
  const t1 = now()
  await core.get(Math.floor(core.length / 3))
  const t2 = now()
  const fromStart = sinceStart()
  emit('core-open', t1 - t0, 'ms', { blocks: core.length }, { first_get_ms: t2 - t1, module_load_ms: loadMs, load_to_first_get_ms: t2 - tl, start_to_first_get_ms: fromStart, cpu_s: cpu(c0), rss_mb: rss(), rss_before_load_mb: r0 })
  await core.close()
})()
