'use strict'
// Runs the peer programs against each other, JavaScript to JavaScript, to tell a broken program from a broken Go side.
//
//   npm run selftest
const { spawn } = require('child_process')
const path = require('path')
const fs = require('fs')
const os = require('os')
const assert = require('assert')

const base = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-'))
let count = 0

function start (version, script, ...args) {
  const cwd = path.join(base, String(count++))
  fs.mkdirSync(cwd)
  const p = spawn(process.execPath, [path.join(__dirname, script), ...args], {
    cwd, stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, HYPERCORE_VERSION: version }
  })
  const waiting = new Map()
  const events = []
  let buf = ''
  let id = 0
  p.stdout.on('data', (d) => {
    buf += d
    for (let i; (i = buf.indexOf('\n')) !== -1;) {
      const o = JSON.parse(buf.slice(0, i))
      buf = buf.slice(i + 1)
      if (o.id) waiting.get(o.id)(o)
      else events.push(o)
    }
  })
  return {
    events,
    call: (cmd, o = {}) => new Promise((resolve, reject) => {
      waiting.set(++id, (r) => (r.error ? reject(new Error(cmd + ': ' + r.error + ' ' + r.stack)) : resolve(r.value)))
      p.stdin.write(JSON.stringify({ ...o, id, cmd }) + '\n')
    }),
    stop: () => new Promise((resolve) => { p.on('exit', resolve); p.stdin.end() })
  }
}

async function cores (wv, rv, initiator, encryption) {
  const w = start(wv, 'core-peer.js')
  const r = start(rv, 'core-peer.js')
  const { key } = await w.call('open', { core: 'a', seed: '01'.repeat(32), blocks: 21, encryption })
  await w.call('extension', { core: 'a', name: 'x' })
  const { port } = await w.call('listen', { initiator })
  await r.call('open', { core: 'a', key, encryption })
  await r.call('connect', { port, initiator: !initiator })
  await r.call('wait', { core: 'a', length: 21 })
  assert((await r.call('get', { core: 'a', index: 7 })).text.startsWith('block-7|'))
  assert.deepStrictEqual(await r.call('seek', { core: 'a', bytes: 200 }), { block: 11, offset: 2 })
  await w.call('append', { core: 'a', text: 'live' })
  await r.call('wait', { core: 'a', length: 22 })
  await w.call('truncate', { core: 'a', length: 9 })
  await w.call('append', { core: 'a', text: 'other' })
  await r.call('wait', { core: 'a', length: 10, fork: 1 })
  assert.strictEqual((await r.call('get', { core: 'a', index: 9 })).text, 'other')
  await w.call('load', { core: 'a', seed: 5, ops: 30, truncates: wv === '11.39.5' && false })
  await w.call('mark', { core: 'a' })
  const end = await w.call('info', { core: 'a' })
  await r.call('wait', { core: 'a', length: end.length, fork: end.fork })
  assert.strictEqual((await r.call('digest', { core: 'a' })).digest, (await w.call('digest', { core: 'a' })).digest)
  await r.stop()
  await w.stop()
  console.log('ok cores', wv, rv, initiator, encryption ? 'encrypted' : 'plain')
}

async function bees () {
  const w = start('11.37.1', 'bee-peer.js')
  const r = start('11.37.1', 'bee-peer.js')
  const { key } = await w.call('bee', { core: 'b' })
  await w.call('fill', { core: 'b', n: 500, batch: 50, size: 30 })
  const { port } = await w.call('listen')
  await r.call('bee', { core: 'b', key })
  await r.call('connect', { port })
  await r.call('wait', { core: 'b', length: 501 })
  const q = { core: 'b', gte: Buffer.from('key-00000100').toString('hex'), limit: 50 }
  assert.deepStrictEqual(await r.call('range', q), await w.call('range', q))
  assert((await r.call('counts', { core: 'b' })).downloaded < 500)
  await r.stop()
  await w.stop()
  console.log('ok bees')
}

async function drives () {
  const w = start('11.37.1', 'drive-peer.js')
  const r = start('11.39.5', 'drive-peer.js')
  const { key } = await w.call('drive', { drive: 'd' })
  await w.call('put', { drive: 'd', path: '/a.txt', text: 'hello', metadata: { n: 1 } })
  await w.call('fill', { drive: 'd', n: 200, seed: 9, size: 100 })
  const src = path.join(base, 'src')
  fs.mkdirSync(src)
  fs.writeFileSync(path.join(src, 'big'), Buffer.alloc(1000000, 'abc'))
  fs.writeFileSync(path.join(src, 'big2'), Buffer.alloc(1000000, 'abc'))
  await w.call('import', { drive: 'd', dir: src, prune: false, dedup: true })
  const { port } = await w.call('listen')
  await r.call('drive', { drive: 'd', key })
  await r.call('connect', { port })
  await r.call('driveupdate', { drive: 'd' })
  assert.strictEqual((await r.call('get', { drive: 'd', path: '/a.txt' })).text, 'hello')
  assert.deepStrictEqual(await r.call('list', { drive: 'd', contents: true }), await w.call('list', { drive: 'd', contents: true }))
  await r.call('watch', { drive: 'd' })
  const out = path.join(base, 'out')
  assert.strictEqual((await r.call('export', { drive: 'd', dir: out })).count.add, 203)
  await w.call('del', { drive: 'd', path: '/a.txt' })
  await r.call('drivewait', { drive: 'd', version: (await w.call('driveinfo', { drive: 'd' })).version })
  await r.stop()
  await w.stop()
  console.log('ok drives')
}

async function stores () {
  const w = start('11.37.1', 'store-peer.js', 'x', '07'.repeat(32))
  const r = start('11.37.1', 'store-peer.js')
  const { keys } = await w.call('many', { prefix: 'm', count: 50, blocks: 3 })
  const { port } = await w.call('listen')
  await r.call('connect', { port })
  assert.strictEqual((await r.call('fetchMany', { keys, blocks: 3 })).blocks[49][2], 'm-49-2')
  await r.stop()
  await w.stop()
  console.log('ok stores')
}

async function oplogs () {
  const p = start('11.37.1', 'oplog-peer.js', '07'.repeat(32))
  const b = Buffer.from('x').toString('hex')
  const r = await Promise.all([
    p.call('job', { kind: 'core', name: 'c', ops: [['append', b, b], ['truncate', 1], ['append', b]] }),
    p.call('job', { kind: 'bee', name: 'b', ops: [['put', b, null], ['batch'], ['put', '00', b, true], ['get', '00'], ['flush'], ['del', b]] }),
    p.call('job', { kind: 'drive', name: 'd', ops: [['put', '/a', 1, 100, false, null], ['batch'], ['symlink', '/b', '/a'], ['flush'], ['put', '/c', 2, 5000], ['back', 1], ['del', '/a']] })
  ])
  assert.deepStrictEqual(r.map((x) => x.length), [2, 4, 4])
  await p.stop()
  console.log('ok oplogs')
}

async function main () {
  for (const [w, r] of [['11.37.1', '11.39.5'], ['10.38.2', '11.37.1'], ['11.39.5', '10.38.2']]) {
    for (const initiator of [false, true]) await cores(w, r, initiator)
  }
  await cores('11.37.1', '11.37.1', false, '07'.repeat(32))
  await bees()
  await drives()
  await stores()
  await oplogs()
}
main().then(() => fs.rmSync(base, { recursive: true }), (err) => { console.error(err); process.exit(1) })
