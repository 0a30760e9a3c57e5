// What runs in the browser: a peer without UDP. It reaches a relay over a WebSocket, through it a peer that shares a
// drive, and downloads a file of the drive, checking every block against the drive's key.
import DHT from '@hyperswarm/dht-relay'
import Stream from '@hyperswarm/dht-relay/ws'
import Corestore from 'corestore-6'
import Hyperdrive from 'hyperdrive-11'
import RAM from 'random-access-memory'
import b4a from 'b4a'

const hex = (b) => b4a.toString(b, 'hex')
const unhex = (s) => b4a.from(s, 'hex')

// The keys of the peers that are announced for a drive, as soon as there are any.
async function peersOf (dht, drive) {
  const found = new Map()
  while (found.size === 0) {
    for await (const r of dht.lookup(drive.discoveryKey)) for (const p of r.peers) found.set(hex(p.publicKey), p.publicKey)
    if (found.size === 0) await new Promise((resolve) => setTimeout(resolve, 500))
  }
  return [...found.values()]
}

// {relay, drive, path, custodial, peer: who has the drive, default: whoever is announced for it} -> {size, sha256,
// entries, own}
window.fetchFile = async (o) => {
  const dht = new DHT(new Stream(true, new WebSocket(o.relay)), { custodial: o.custodial })
  await dht.ready()
  const store = new Corestore(RAM)
  const drive = new Hyperdrive(store, unhex(o.drive))
  await drive.ready()
  const done = drive.findingPeers()
  for (const key of o.peer ? [unhex(o.peer)] : await peersOf(dht, drive)) {
    const stream = dht.connect(key)
    stream.on('error', (err) => console.error('stream', err))
    store.replicate(stream)
    stream.once('open', done)
  }
  await drive.update({ wait: true })
  const content = await drive.get(o.path)
  if (!content) throw new Error('no such file in version ' + drive.version)
  const entries = []
  for await (const e of drive.list('/')) entries.push(e.key)
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content))
  await dht.destroy({ force: true })
  return { size: content.length, sha256: hex(digest), entries, own: hex(dht.defaultKeyPair.publicKey) }
}
