'use strict'
// Autobase: WRITERS writers in one process, each with a store of its own on disk. The view is one hypercore of JSON values; apply appends the value
// of each node. Values are {i, pad} of about 100 bytes.
// append: one writer, COUNT values, BATCH per append, each append awaited, which includes apply.
// multi:  all indexers, connected with each other; they append COUNT values together, each its own awaited; then updates and acks until all views
//         and system hashes are equal. After that, 50 times, one append until another peer's view has it.
// merge:  INDEXERS of them indexers; each appends COUNT values unconnected; then the time from connecting until all states are equal.
// reader: one writer with COUNT values; the time from connecting until a new reader has the state, by replay or (FORWARD) by fast-forward.
const Corestore = require('corestore')
const Autobase = require('autobase')
const { args, tmp, rm, now, peakRss, cpu, pct, emit } = require('./lib')
const o = args({ mode: 'append', writers: 1, indexers: 0, count: 5000, batch: 1, forward: false })
const indexers = o.indexers || o.writers
const handlers = {
  open (store) { return store.get('view', { valueEncoding: 'json' }) },
  async apply (nodes, view, host) {
    for (const n of nodes) {
      if (n.value.add) await host.addWriter(Buffer.from(n.value.add, 'hex'), { indexer: n.value.indexer })
      else await view.append(n.value)
    }
  },
  valueEncoding: 'json',
  ackInterval: 0,
  ackThreshold: 0,
  fastForward: false
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const pad = 'x'.repeat(70)
const dirs = []
const bases = []

async function open (options) {
  const dir = tmp('autobase')
  dirs.push(dir)
  const store = new Corestore(dir)
  await store.ready()
  const base = new Autobase(store, bases.length ? bases[0].key : null, { ...handlers, ...options })
  await base.ready()
  bases.push(base)
}

function link (x, y) {
  const a = x.replicate(true, { keepAlive: false })
  const b = y.replicate(false, { keepAlive: false })
  a.on('error', () => {})
  b.on('error', () => {})
  a.pipe(b).pipe(a)
  return () => { a.destroy(); b.destroy() }
}

function mesh () {
  const cuts = []
  for (let i = 0; i < bases.length; i++) for (let j = i + 1; j < bases.length; j++) cuts.push(link(bases[i], bases[j]))
  return () => cuts.forEach((cut) => cut())
}

async function same (length) {
  for (const b of bases) await b.update()
  if (!bases.every((b) => b.view.length >= length && b.core.length === bases[0].core.length)) return false
  const hashes = await Promise.all(bases.map(async (b) => (await b.hash()).toString('hex')))
  return hashes.every((h) => h === hashes[0])
}

// converge waits until all have the same state; who acks helps.
async function converge (length, acks) {
  const end = now() + 120000
  let spins = 0
  while (!(await same(length))) {
    if (now() > end) throw new Error('no agreement: ' + bases.map((b) => b.view.length))
    if (acks) await bases[spins++ % bases.length].ack()
    await sleep(2)
  }
}

async function members () {
  const cut = mesh()
  for (let i = 1; i < bases.length; i++) {
    await bases[0].append({ add: bases[i].local.key.toString('hex'), indexer: i < indexers })
    const end = now() + 60000
    while (!bases[i].writable) {
      if (now() > end) throw new Error('writer ' + i + ' was not added')
      for (const b of bases) await b.update()
      await sleep(5)
      for (const b of bases) if (b.writable) await b.ack()
    }
    await converge(0, true)
  }
  return cut
}

async function fill (base) {
  for (let i = 0; i < o.count; i += o.batch) {
    if (o.batch === 1) await base.append({ i, pad })
    else await base.append(Array.from({ length: Math.min(o.batch, o.count - i) }, (_, j) => ({ i: i + j, pad })))
  }
}

async function append () {
  const t = now()
  const c = cpu()
  await fill(bases[0])
  await bases[0].update()
  const ms = now() - t
  if (bases[0].view.length !== o.count) throw new Error('the view has ' + bases[0].view.length)
  emit('autobase-append', o.count / ms * 1000, 'values/s', { count: o.count, batch: o.batch }, { ms, cpu_s: cpu(c), peak_rss_mb: peakRss() })
}

async function multi () {
  await members()
  const P = { writers: o.writers, count: o.count }
  const per = Math.floor(o.count / o.writers)
  const t = now()
  const c = cpu()
  await Promise.all(bases.map(async (b, w) => { for (let i = 0; i < per; i++) await b.append({ w, i, pad }) }))
  const wrote = now() - t
  await converge(per * o.writers, true)
  const ms = now() - t
  emit('autobase-multi', per * o.writers / ms * 1000, 'values/s', P, { append_ms: wrote, ms, cpu_s: cpu(c), peak_rss_mb: peakRss() })
  const lat = []
  for (let i = 0; i < 50; i++) {
    const l = bases[1].view.length
    const a = now()
    await bases[0].append({ live: i })
    while (bases[1].view.length <= l) {
      if (now() - a > 30000) throw new Error('a live value did not come')
      await bases[1].update()
      await sleep(0)
    }
    lat.push(now() - a)
  }
  emit('autobase-live', pct(lat, 0.5), 'ms', P, { p90_ms: pct(lat, 0.9) })
}

async function merge () {
  const cut = await members()
  cut()
  for (const b of bases) await fill(b)
  const t = now()
  const c = cpu()
  mesh()
  await converge(o.count * o.writers, false)
  emit('autobase-merge', now() - t, 'ms', { writers: o.writers, indexers, count: o.count }, { cpu_s: cpu(c), peak_rss_mb: peakRss() })
}

async function reader () {
  await fill(bases[0])
  await open({ fastForward: o.forward })
  const t = now()
  const c = cpu()
  link(bases[0], bases[1])
  await converge(o.count, false)
  emit('autobase-reader', now() - t, 'ms', { count: o.count, forward: o.forward }, { cpu_s: cpu(c), peak_rss_mb: peakRss() })
}

;(async () => {
  for (let i = 0; i < o.writers; i++) await open()
  await { append, multi, merge, reader }[o.mode]()
  process.on('exit', () => dirs.forEach(rm))
  process.exit(0)
})().catch((err) => { console.error(err); process.exit(1) })
