package node

import (
	"fmt"

	"github.com/tradle/cloudpal/internal/metrics"
)

// state returns the numbers of the node.
func (n *Node) state() (*metrics.State, error) {
	s := &metrics.State{Version: n.opts.Version, Started: n.started, Peers: make(map[string]int), Drives: len(n.files.Records()), Bases: len(n.bases.Records()), Free: freeBytes(n.opts.Home)}
	for _, c := range n.network.swarm.Connections() {
		s.Peers[c.Path().Kind.String()]++
	}
	t := n.bandwidth.carried.total()
	s.Sent, s.Received, s.Connections = t.sent, t.received, t.connections
	n.mu.Lock()
	s.UpLimit, s.DownLimit = n.bandwidth.now.Up, n.bandwidth.now.Down
	n.mu.Unlock()
	if d := n.network.dhtInfo(); d != nil {
		s.DHT, s.Online, s.Nodes, s.Topics = true, d.Online, d.Nodes, d.Topics
	}
	db, err := n.store.DB().Stats()
	if err != nil {
		return nil, fmt.Errorf("read the sizes of the store: %w", err)
	}
	s.Logs, s.Database, s.Segments, s.Reclaimable, s.MemTables, s.BlockCache = db.Cores, db.Database, db.Segments, db.SegmentsDead, db.MemTables, db.BlockCache
	s.Flushes, s.Compactions, s.CacheHits, s.CacheMisses, s.LogBytes = db.Flushes, db.Compactions, db.CacheHits, db.CacheMisses, db.LogBytes
	s.CompactionDebt, s.ReadAmplification = db.CompactionDebt, db.ReadAmplification
	return s, nil
}
