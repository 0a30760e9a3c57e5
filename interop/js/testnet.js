'use strict'
// A DHT of its own on one machine.
//
//   node testnet.js [number of nodes [host]]
const createTestnet = require('hyperdht/testnet')
const { say, serve } = require('./lib/commands')

async function main () {
  const net = await createTestnet(Number(process.argv[2]) || 6, { host: process.argv[3] || '127.0.0.1' })
  serve({}, () => net.destroy())
  say({ event: 'ready', bootstrap: net.bootstrap })
}
main().catch((err) => { console.error(err); process.exit(1) })
