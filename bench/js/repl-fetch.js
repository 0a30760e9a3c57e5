'use strict'
// Start repl-serve.js on DIR and fetch from it into a fresh store (disk).
// mode full: download everything; sparse: GETS random gets one at a time; resume: half, close, reopen, connect, rest.
const net = require('net')
const path = require('path')
const { spawn } = require('child_process')
const Hypercore = require('hypercore')
const NoiseSecretStream = require('@hyperswarm/secret-stream')
const { args, rng, tmp, rm, now, peakRss, rss, cpu, pct, emit } = require('./lib')
const o = args({ dir: '', transport: 'tcp', mode: 'full', gets: 1000, server: '' })

function lines (stream, fn) {
  let s = ''
  stream.on('data', (d) => { s += d; let i; while ((i = s.indexOf('\n')) >= 0) { fn(s.slice(0, i)); s = s.slice(i + 1) } })
}

;(async () => {
  const cmd = o.server ? o.server.split(' ') : [process.execPath, path.join(__dirname, 'repl-serve.js')]
  let srv, local
  const q = []; let wake = null
  if (o.transport !== 'stream') {
    srv = spawn(cmd[0], [...cmd.slice(1), '--dir', o.dir, '--transport', o.transport], { stdio: ['pipe', 'pipe', 'inherit'] })
    lines(srv.stdout, (l) => { q.push(l); if (wake) wake() })
  } else {
    local = new Hypercore(o.dir)
    await local.ready()
  }
  const next = async () => { while (!q.length) await new Promise((resolve) => { wake = resolve }); return JSON.parse(q.shift()) }
  const info = o.transport === 'stream' ? { key: local.key.toString('hex'), length: local.length, byteLength: local.byteLength } : await next()

  let dht = null
  if (o.transport === 'dht') {
    const DHT = require('hyperdht')
    dht = new DHT({ bootstrap: info.bootstrap, host: '127.0.0.1', ephemeral: true, firewalled: false })
    await dht.fullyBootstrapped()
  }
  function connect (core) {
    if (o.transport === 'stream') {
      const a = local.replicate(false); const b = core.replicate(true)
      a.on('error', () => {}); b.on('error', () => {})
      a.pipe(b).pipe(a)
      return b.noiseStream || b
    }
    let s
    if (o.transport === 'tcp') {
      const sock = net.connect(info.port, '127.0.0.1')
      sock.setNoDelay(true)
      s = new NoiseSecretStream(true, sock)
    } else {
      s = dht.connect(Buffer.from(info.publicKey, 'hex'))
    }
    s.on('error', () => {})
    core.replicate(s)
    return s
  }

  const dir = tmp('fetch')
  let core = new Hypercore(dir, Buffer.from(info.key, 'hex'))
  await core.ready()
  const n = info.length
  const c0 = cpu()
  const t0 = now()
  let s = connect(core)
  let tOpen = 0
  const opened = new Promise((resolve) => s.once('open', () => { tOpen = now(); resolve() }))
  await core.get(0)
  const t1 = now()
  if (!tOpen) { await opened; tOpen = now() }
  const params = { transport: o.transport, mode: o.mode, blocks: n, bytes: info.byteLength }
  const extra = { connect_ms: tOpen - t0, first_block_after_connect_start_ms: t1 - t0, first_block_after_open_ms: t1 - tOpen }
  if (o.mode === 'full') {
    await core.download({ start: 0, end: n }).done()
    const ms = now() - t0
    Object.assign(extra, { ms, blocks_per_s: n / ms * 1000, cpu_client_s: cpu(c0), rss_mb: rss(), peak_rss_mb: peakRss() })
    const tc = now(); await core.close(); extra.close_ms = now() - tc
    if (srv) { srv.stdin.end(); const e = await next(); extra.cpu_server_s = e.cpu_s; extra.peak_rss_server_mb = e.peak_rss_mb }
    emit('repl-full', info.byteLength / 1e6 / (ms / 1000), 'MB/s', params, extra)
  } else if (o.mode === 'sparse') {
    const rand = rng(7); const lat = []; const c1 = cpu()
    for (let i = 0; i < o.gets; i++) {
      const k = Math.floor(rand() * n); const a = now()
      await core.get(k)
      lat.push(now() - a)
    }
    emit('repl-sparse', pct(lat, 0.5), 'ms', { ...params, gets: o.gets }, { ...extra, cpu_s: cpu(c1), p90_ms: pct(lat, 0.9), p99_ms: pct(lat, 0.99), max_ms: pct(lat, 1), gets_per_s: lat.length / lat.reduce((x, y) => x + y, 0) * 1000 })
    await core.close()
  } else {
    const half = n >> 1
    await core.download({ start: 0, end: half }).done()
    extra.first_half_ms = now() - t0
    await core.close()
    s.destroy()
    await new Promise((resolve) => setTimeout(resolve, 200))
    const t2 = now(); const c1 = cpu()
    core = new Hypercore(dir, Buffer.from(info.key, 'hex'))
    await core.ready()
    const t3 = now()
    s = connect(core)
    s.once('open', () => { tOpen = now() })
    tOpen = 0
    await core.get(half)
    const t4 = now()
    await core.download({ start: half, end: n }).done()
    const t5 = now()
    Object.assign(extra, { cpu_s: cpu(c1), reopen_ms: t3 - t2, reconnect_open_ms: tOpen - t3, second_half_ms: t5 - t3 })
    emit('repl-resume', t4 - t3, 'ms', params, extra)
    await core.close()
  }
  rm(dir)
  process.exit(0)
})()
