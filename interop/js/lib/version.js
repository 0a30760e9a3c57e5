'use strict'
// Chooses the hypercore version by the variable HYPERCORE_VERSION: every require of hypercore, also those inside
// corestore, hyperbee and hyperdrive, then gets that one. Must be required first. Exports the version that runs.
const Module = require('module')

const packages = { '11.37.1': 'hypercore', '11.39.5': 'hypercore-11-39', '10.38.2': 'hypercore-10' }
const want = process.env.HYPERCORE_VERSION || '11.37.1'
const name = packages[want]
if (!name) throw new Error('unknown HYPERCORE_VERSION ' + want)

if (name !== 'hypercore') {
  const resolve = Module._resolveFilename
  Module._resolveFilename = function (request, ...rest) {
    if (request === 'hypercore' || request.startsWith('hypercore/')) request = name + request.slice('hypercore'.length)
    return resolve.call(this, request, ...rest)
  }
}

const got = require('hypercore/package.json').version
if (got !== want) throw new Error('hypercore ' + got + ' was installed where ' + want + ' was expected')

module.exports = got
