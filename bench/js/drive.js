'use strict'
// Hyperdrive. --work one|many|edit|edit-dedup|put-file
//  one:  import SRC (a folder with one 1 GiB file) through localdrive.mirror, read it back, range reads, mirror to a disk folder
//  many: the same for a folder of 20k files of 4 KiB, + list
//  edit / edit-dedup: mirror SRC (64 MiB file), flip one byte in the middle, mirror again; bytes appended
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const Localdrive = require('localdrive')
const MirrorDrive = require('mirror-drive')
const fs = require('fs')
const path = require('path')
const { args, rng, du, tmp, rm, now, rss, peakRss, cpu, pct, emit } = require('./lib')
const o = args({ src: '', work: 'one', reads: 500, batch: false })
;(async () => {
  const dir = tmp('drive'); const out = tmp('drive-out')
  const store = new Corestore(dir)
  const drive = new Hyperdrive(store)
  await drive.ready()
  const blobs = await drive.getBlobs()
  const size = du(o.src)
  const P = { work: o.work, bytes: size, ...(o.batch ? { batch: true } : {}) }
  const total = () => drive.core.byteLength + blobs.core.byteLength
  const dedup = o.work === 'edit-dedup'
  async function mirror (from, to) {
    const t = now(); const c = cpu()
    const m = new MirrorDrive(from, to, { dedup, batch: o.batch })
    await m.done()
    return { ms: now() - t, cpu_s: cpu(c), files: m.count.files, add: m.count.add, change: m.count.change }
  }
  const src = new Localdrive(o.src)
  let r = await mirror(src, drive)
  emit('drive-import', size / 1e6 / (r.ms / 1000), 'MB/s', P, { ...r, files_per_s: r.files / r.ms * 1000, rss_mb: rss(), peak_rss_mb: peakRss(), appended_bytes: total(), blob_blocks: blobs.core.length, disk_bytes: du(dir) })
  if (o.work.startsWith('edit')) {
    const name = fs.readdirSync(o.src)[0]; const f = path.join(o.src, name)
    const w = tmp('edit'); const g = path.join(w, name)
    fs.copyFileSync(f, g)
    const fd = fs.openSync(g, 'r+'); const b = Buffer.alloc(1); const mid = Math.floor(fs.fstatSync(fd).size / 2)
    fs.readSync(fd, b, 0, 1, mid); b[0] ^= 0xff; fs.writeSync(fd, b, 0, 1, mid); fs.closeSync(fd)
    const b0 = total()
    r = await mirror(new Localdrive(w), drive)
    emit('drive-reput', total() - b0, 'bytes', P, r)
    rm(w)
  } else {
    r = await mirror(src, drive)
    emit('drive-resync', r.ms, 'ms', P, r)
    if (o.work === 'many') {
      let t = now(); let c = cpu(); let n = 0
      for await (const e of drive.list('/')) n += e ? 1 : 0 // eslint-disable-line
      emit('drive-list', n / (now() - t) * 1000, 'entries/s', P, { ms: now() - t, cpu_s: cpu(c), n })
      const rand = rng(3); const lat = []
      const names = fs.readdirSync(o.src).flatMap((d) => fs.readdirSync(path.join(o.src, d)).map((x) => '/' + d + '/' + x))
      c = cpu()
      for (let i = 0; i < 2000; i++) { const a = now(); const b = await drive.get(names[Math.floor(rand() * names.length)]); lat.push(now() - a); if (b.length !== 4096) throw new Error('bad') }
      emit('drive-get-4k', pct(lat, 0.5), 'ms', P, { p99_ms: pct(lat, 0.99), cpu_s: cpu(c), gets_per_s: 1000 * lat.length / lat.reduce((x, y) => x + y, 0) })
    } else {
      const name = '/' + fs.readdirSync(o.src)[0]; const rand = rng(3); const lat = []; const first = []; let c = cpu()
      for (let i = 0; i < o.reads; i++) {
        const start = Math.floor(rand() * (size - 65536)); const a = now(); let got = 0
        for await (const b of drive.createReadStream(name, { start, length: 65536 })) { if (!got) first.push(now() - a); got += b.length }
        lat.push(now() - a); if (got !== 65536) throw new Error('short ' + got)
      }
      emit('drive-range64k', pct(lat, 0.5), 'ms', { ...P, reads: o.reads }, { p99_ms: pct(lat, 0.99), cpu_s: cpu(c), first_byte_p50_ms: pct(first, 0.5) })
      const t = now(); let n = 0; c = cpu()
      for await (const b of drive.createReadStream(name)) n += b.length
      emit('drive-read', n / 1e6 / ((now() - t) / 1000), 'MB/s', P, { cpu_s: cpu(c) })
    }
    r = await mirror(drive, new Localdrive(out))
    emit('drive-export', size / 1e6 / (r.ms / 1000), 'MB/s', P, { ...r, files_per_s: r.files / r.ms * 1000 })
  }
  await drive.close(); await store.close()
  rm(dir); rm(out)
})()
