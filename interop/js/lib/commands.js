'use strict'
// The command loop of a peer: one JSON object per line comes in ({id, cmd, ...args}), one goes out for each answer
// ({id, value} or {id, error}) and each event ({event, ...}). Commands run concurrently; the ones whose order matters
// are sent one after the other. The process ends when its input ends.
const readline = require('readline')

// How long a peer waits for others, in milliseconds: less than those wait who run it, because it can say what is missing.
const patience = 120000

function say (o) {
  process.stdout.write(JSON.stringify(o) + '\n')
}

function serve (commands, onend) {
  const rl = readline.createInterface({ input: process.stdin })
  rl.on('line', async (line) => {
    if (!line.trim()) return
    const o = JSON.parse(line)
    try {
      const fn = commands[o.cmd]
      if (!fn) throw new Error('no such command: ' + o.cmd)
      const value = await fn(o)
      say({ id: o.id, cmd: o.cmd, value: value === undefined ? {} : value })
    } catch (err) {
      say({ id: o.id, cmd: o.cmd, error: err.code || err.message || String(err), stack: err.stack })
    }
  })
  rl.on('close', async () => {
    const hurry = setTimeout(() => process.exit(0), 1500)
    hurry.unref()
    try { if (onend) await onend() } catch {}
    process.exit(0)
  })
  process.on('unhandledRejection', (err) => {
    console.error('unhandled rejection', err)
    process.exit(1)
  })
}

module.exports = { say, serve, patience }
