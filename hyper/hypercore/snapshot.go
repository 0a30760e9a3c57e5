package hypercore

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// snapshot is a state of the log that handles stay at. Blocks below valid are
// still the ones of that state.
type snapshot struct {
	head head
	refs int // guarded by log.mu

	mu    sync.Mutex // guards valid
	valid uint64
	cut   chan struct{} // closed when valid falls below head.Length
}

// Snapshot returns a handle that stays at the current length and fork. Reading
// it goes on while the log grows; blocks that are cut off later are
// [ErrTruncated]. Blocks that are not held are still fetched from peers.
func (c *Core) Snapshot() (*Core, error) {
	return c.SnapshotAt(math.MaxUint64)
}

// SnapshotAt is Snapshot at an earlier length, or at the current one if length
// is beyond it. The tree of an earlier length is only known if the nodes of its
// roots are held: if not, reading by block works but TreeHash, ByteLength and
// Seek cover nothing.
func (c *Core) SnapshotAt(length uint64) (*Core, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if c.branch != nil {
		return c.branch.snapshot(c, length)
	}
	if c.draft != nil {
		return c.draft.snapshot(c, length)
	}
	l := c.log
	h := c.view()
	if length < h.Length {
		h = l.earlier(&h, length)
	}
	s := &snapshot{head: h, valid: h.Length, refs: 1, cut: make(chan struct{})}
	if c.snap != nil {
		s.valid = min(s.valid, c.snap.limit())
	}
	l.mu.Lock()
	if l.head.Fork != h.Fork && c.snap == nil {
		// Truncated between the two looks: no block is sure.
		l.mu.Unlock()
		return c.SnapshotAt(length)
	}
	l.snapshots[s] = struct{}{}
	l.mu.Unlock()
	n := &Core{log: l, snap: s, readOnly: true, done: make(chan struct{})}
	c.encMu.Lock()
	n.encKey, n.enc = c.encKey, c.enc
	c.encMu.Unlock()
	n.passive.Store(c.passive.Load())
	l.addHandle(!n.passive.Load())
	return n, nil
}

// earlier returns the unsigned state of h cut to length, as far as its nodes
// are held.
func (l *log) earlier(h *head, length uint64) head {
	t, err := loadTree(l, h.Fork, length)
	if err != nil {
		t.Fork, t.Length = h.Fork, length
	}
	return head{Tree: t}
}

func (l *log) holdSnapshot(s *snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.refs++
}

func (l *log) dropSnapshot(s *snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.refs--; s.refs == 0 {
		delete(l.snapshots, s)
	}
}

// cutSnapshots tells all snapshots that blocks from length on are gone. l.mu
// must be held.
func (l *log) cutSnapshotsLocked(length uint64) {
	for s := range l.snapshots {
		s.mu.Lock()
		if length < s.valid {
			s.valid = length
			select {
			case <-s.cut:
			default:
				close(s.cut)
			}
		}
		s.mu.Unlock()
	}
}

func (s *snapshot) limit() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.valid
}

// check tells whether block i can still be read.
func (s *snapshot) check(i uint64) error {
	if i >= s.head.Length {
		return fmt.Errorf("%w: block %d of %d", ErrOutOfRange, i, s.head.Length)
	}
	if limit := s.limit(); i >= limit {
		return fmt.Errorf("%w to %d blocks, block %d is gone", ErrTruncated, limit, i)
	}
	return nil
}

// atomicMin is the smallest number it was told.
type atomicMin struct{ v atomic.Uint64 }

func (m *atomicMin) reset()       { m.v.Store(math.MaxUint64) }
func (m *atomicMin) load() uint64 { return m.v.Load() }
func (m *atomicMin) lower(n uint64) {
	for {
		old := m.v.Load()
		if n >= old || m.v.CompareAndSwap(old, n) {
			return
		}
	}
}
