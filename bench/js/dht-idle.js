'use strict'
// Memory of idle hyperdht connections: CONNECTIONS of them between two nodes of this process.
const createTestnet = require('hyperdht/testnet')
const { args, rss, emit } = require('./lib')
const o = args({ connections: 500 })
;(async () => {
  const tn = await createTestnet(3)
  const s = tn.createNode({ firewalled: false }); await s.fullyBootstrapped()
  const c = tn.createNode({ firewalled: false }); await c.fullyBootstrapped()
  const kept = []
  const srv = s.createServer((x) => { kept.push(x); x.on('error', () => {}); x.on('data', (d) => x.write(d)) })
  await srv.listen()
  const one = () => new Promise((resolve, reject) => {
    const k = c.connect(srv.publicKey)
    kept.push(k)
    k.on('error', reject); k.once('data', resolve); k.write(Buffer.from('hi'))
  })
  for (let i = 0; i < 20; i++) await one()
  if (global.gc) global.gc()
  const before = rss()
  for (let i = 0; i < o.connections; i++) await one()
  if (global.gc) global.gc()
  emit('dht-idle', (rss() - before) * 1024 / o.connections / 2, 'KiB', { connections: o.connections }, { rss_mb: rss() })
  process.exit(0)
})()
