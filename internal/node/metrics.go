package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/metrics"
	"github.com/tradle/cloudpal/internal/space"
)

// stateTime is how long the numbers may take: what is missing of a space has to come from
// peers, and who asks comes again.
const stateTime = 10 * time.Second

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
	ctx, cancel := context.WithTimeout(n.ctx, stateTime)
	defer cancel()
	if err := n.countSpaces(ctx, &s.Spaces); err != nil {
		return nil, err
	}
	n.countFolders(&s.Folders)
	db, err := n.store.DB().Stats()
	if err != nil {
		return nil, fmt.Errorf("read the sizes of the store: %w", err)
	}
	s.Logs, s.Database, s.Segments, s.Reclaimable, s.MemTables, s.BlockCache = db.Cores, db.Database, db.Segments, db.SegmentsDead, db.MemTables, db.BlockCache
	s.Flushes, s.Compactions, s.CacheHits, s.CacheMisses, s.LogBytes = db.Flushes, db.Compactions, db.CacheHits, db.CacheMisses, db.LogBytes
	s.CompactionDebt, s.ReadAmplification = db.CompactionDebt, db.ReadAmplification
	return s, nil
}

// countSpaces counts what is known of all spaces, without looking at their copies.
func (n *Node) countSpaces(ctx context.Context, m *metrics.Spaces) error {
	_, failed := n.spaces.Records()
	m.States = map[string]int{"stopped": len(failed)}
	for _, s := range n.spaces.Spaces() {
		st, err := s.Status(ctx)
		if err != nil {
			return fmt.Errorf("count the spaces: %w", err)
		}
		devices, err := s.Devices(ctx)
		if err != nil {
			return fmt.Errorf("count the spaces: %w", err)
		}
		waiting, err := s.Unconfirmed(ctx)
		if err != nil {
			return fmt.Errorf("count the spaces: %w", err)
		}
		m.Unconfirmed += waiting
		switch {
		case st.Err != nil:
			m.States["stopped"]++
		case slices.ContainsFunc(devices, func(d space.Device) bool { return d.Self && d.Removed }):
			m.States["removed"]++
			continue
		case st.Role == 0:
			m.States["arriving"]++
			continue
		default:
			m.States["running"]++
		}
		if err := n.countCopies(ctx, s, m); err != nil {
			return fmt.Errorf("count the copies of spaces: %w", err)
		}
	}
	return nil
}

func (n *Node) countCopies(ctx context.Context, s *space.Space, m *metrics.Spaces) error {
	copies, err := n.standing(ctx, s)
	if err != nil {
		return err
	}
	c := api.Copies{Copies: copies}
	full, present := c.Tally()
	if len(copies) > 0 && copies[0].Self && copies[0].Holds == api.HoldsUnknown {
		present++ // it was not looked at yet: most likely nothing is missing here
	}
	m.Copies[min(present, 3)]++
	m.FullCopies[min(full, 3)]++
	for _, x := range copies {
		online := 0
		if x.Online {
			online = 1
		}
		switch {
		case x.Self:
			m.LacksFiles += x.LacksFileBytes
			m.LacksOlder += x.LacksBytes - min(x.LacksBytes, x.LacksFileBytes)
			continue
		case x.Mirror:
			m.Mirrors++
			m.MirrorsOnline += online
		default:
			m.Devices++
			m.DevicesOnline += online
		}
		switch held := x.Holds == api.HoldsAll || x.Holds == api.HoldsPresent; {
		case !x.Failed.IsZero():
			m.Failed++
		case held && time.Since(x.Verified) > unproven:
			m.Unverified++
		}
	}
	return nil
}

func (n *Node) countFolders(m *metrics.Folders) {
	m.States = make(map[string]int)
	for _, f := range n.folders.Status() {
		if !f.Running {
			m.States["stopped"]++
			continue
		}
		m.States[string(f.State)]++
		m.Pending += f.Pending
		m.Waiting += f.Waiting
		m.Problems += len(f.Problems)
		m.Sent += f.SentBytes
		m.Written += f.WrittenBytes
	}
}
