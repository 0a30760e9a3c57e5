'use strict'
// The application of the tests' bases. Values are operations in JSON, applied to two views: 'log', a plain core, and
// 'kv', a bee. Operations: {add, indexer} {remove} {ack} {anchor} {fork: {indexers, key, length}} {log} {put: [k, v]} {del}.
const Hyperbee = require('hyperbee')
const b4a = require('b4a')

const unhex = (s) => b4a.from(s, 'hex')

function open (store) {
  return { log: store.get('log'), kv: new Hyperbee(store.get('kv'), { extension: false }) }
}

async function close (view) {
  await view.kv.close()
  await view.log.close()
}

async function apply (nodes, view, host) {
  for (const node of nodes) {
    const op = JSON.parse(b4a.toString(node.value))
    if (op.add) await host.addWriter(unhex(op.add), { indexer: op.indexer !== false })
    if (op.remove) await host.removeWriter(unhex(op.remove))
    if (op.ack) await host.ackWriter(node.from.key)
    if (op.anchor) await host.createAnchor()
    if (op.fork) await host.fork(op.fork.indexers.map(unhex), { key: unhex(op.fork.key), length: op.fork.length })
    if (op.log !== undefined) await view.log.append(b4a.from(op.log))
    if (op.put) await view.kv.put(b4a.from(op.put[0]), b4a.from(op.put[1]))
    if (op.del) await view.kv.del(b4a.from(op.del))
  }
}

module.exports = { open, close, apply }
