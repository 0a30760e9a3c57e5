package hypercore

import "github.com/tradle/cloudpal/hyper/hypercrypto"

// Info describes a log at one moment.
type Info struct {
	Key                    hypercrypto.Key
	DiscoveryKey           hypercrypto.DiscoveryKey
	Writable               bool
	Length                 uint64 // blocks
	ByteLength             uint64 // bytes without padding
	Fork                   uint64
	Padding                int
	ContiguousLength       uint64
	RemoteContiguousLength uint64
	Held                   uint64 // blocks held here
	TreeHash               hypercrypto.Hash
	Frozen                 bool
	Peers                  int

	// Totals since the log was opened, in blocks and in bytes as stored. A block
	// counts as downloaded once; what arrived in vain, since another peer was
	// faster or nobody had asked, is unused.
	BlocksUploaded, BytesUploaded     uint64
	BlocksDownloaded, BytesDownloaded uint64
	BlocksUnused, BytesUnused         uint64
}

// Info returns what is known about the log now.
func (c *Core) Info() Info {
	l := c.log
	i := Info{
		Key: l.key, DiscoveryKey: l.dk, Writable: c.Writable(),
		Length: c.Length(), ByteLength: c.ByteLength(), Fork: c.Fork(), Padding: c.Padding(),
		ContiguousLength: c.ContiguousLength(), RemoteContiguousLength: c.RemoteContiguousLength(),
		TreeHash: c.TreeHash(), Peers: len(c.Peers()),
		BlocksUploaded: l.stats.blocksUploaded.Load(), BytesUploaded: l.stats.bytesUploaded.Load(),
		BlocksDownloaded: l.stats.blocksDownloaded.Load(), BytesDownloaded: l.stats.bytesDownloaded.Load(),
		BlocksUnused: l.stats.blocksUnused.Load(), BytesUnused: l.stats.bytesUnused.Load(),
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	i.Frozen = l.frozen
	i.Held = l.st.CountHeld(0, l.head.Length)
	return i
}
