'use strict'
// One udx stream over loopback between two processes: MB of zeros, received and counted.
const path = require('path')
const { spawn } = require('child_process')
const UDX = require('udx-native')
const { args, now, cpu, rss, emit } = require('./lib')
const o = args({ mb: 512, loss: 0, port: 0 })
const total = o.mb * 1048576

function send () {
  const u = new UDX(); const sock = u.createSocket(); sock.bind(0, '127.0.0.1')
  const s = u.createStream(2)
  s.on('error', () => {})
  s.connect(sock, 1, o.port, '127.0.0.1')
  const chunk = Buffer.alloc(65536)
  const c0 = cpu()
  let left = total
  s.on('close', () => { process.stdout.write(JSON.stringify({ cpu_s: cpu(c0), retransmits: s.retransmits }) + '\n', () => process.exit(0)) })
  s.on('data', () => {})
  const go = () => {
    while (left > 0) { left -= chunk.byteLength; if (!s.write(chunk)) return s.once('drain', go) }
    s.end()
  }
  go()
}

function receive () {
  const u = new UDX(); const sock = u.createSocket(); sock.bind(0, '127.0.0.1')
  const s = u.createStream(1, { firewall (socket, port, host) { if (!s.connected) s.connect(socket, 2, port, host); return false } })
  const sender = spawn(process.execPath, [path.join(__dirname, 'udx.js'), '--port', sock.address().port, '--mb', o.mb], { stdio: ['ignore', 'pipe', 'inherit'] })
  let got = 0; let start = 0; let ms = 0; let c = 0
  const c0 = cpu()
  s.on('data', (d) => {
    if (!start) start = now()
    got += d.byteLength
    if (got >= total) { ms = now() - start; c = cpu(c0) }
  })
  s.on('end', () => s.end())
  s.on('error', () => {})
  sender.stdout.once('data', (d) => {
    const e = JSON.parse(d)
    if (got !== total) throw new Error('received ' + got + ' of ' + total + ' bytes')
    emit('udx-stream', total / 1e6 / (ms / 1000), 'MB/s', { mb: o.mb, loss: o.loss }, { ms, cpu_receiver_s: c, cpu_sender_s: e.cpu_s, retransmits: e.retransmits, rss_mb: rss() })
    process.exit(0)
  })
}

o.port ? send() : receive()
