package storage

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// Snapshot reads one core as it was when the snapshot was taken. Space of blocks
// removed since comes back only after it is closed. Its methods may be called
// concurrently, but not after Close.
type Snapshot struct {
	v     view
	snap  *pebble.Snapshot
	epoch uint64

	once sync.Once
	head headRecord
	err  error
}

// Snapshot returns a consistent view of the core. It must be closed.
func (c *Core) Snapshot() (*Snapshot, error) {
	db := c.db
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.leave()
	s := &Snapshot{epoch: db.reclaim.pin()}
	before := c.state.Load()
	s.snap = db.pebble.NewSnapshot()
	after := c.state.Load()
	s.v = view{core: c, r: s.snap, state: after}
	if before != after || before&1 != 0 {
		// A commit was taking effect: which state this is, is not known. State 0
		// is older than any cached page.
		s.v.state = 0
	}
	db.mu.Lock()
	db.snaps[s] = struct{}{}
	db.mu.Unlock()
	return s, nil
}

// Close releases the snapshot. It may be called more than once.
func (s *Snapshot) Close() error {
	db := s.v.core.db
	db.mu.Lock()
	_, open := db.snaps[s]
	delete(db.snaps, s)
	db.mu.Unlock()
	if !open {
		return nil
	}
	return s.release()
}

func (s *Snapshot) release() error {
	err := s.snap.Close()
	s.v.core.db.reclaim.unpin(s.epoch)
	return fromPebble(err)
}

// Head returns the head.
func (s *Snapshot) Head() (Head, error) {
	s.once.Do(func() { s.head, s.err = s.v.readHead() })
	return s.head.Head, s.err
}

// Auth is like [Core.Auth].
func (s *Snapshot) Auth() (Auth, error) { return s.v.Auth() }

// Node is like [Core.Node].
func (s *Snapshot) Node(index uint64) (merkle.Node, error) { return s.v.Node(index) }

// Nodes is like [Core.Nodes].
func (s *Snapshot) Nodes(indexes []uint64, dst []merkle.Node) error { return s.v.Nodes(indexes, dst) }

// Block is like [Core.Block].
func (s *Snapshot) Block(i uint64, dst []byte) ([]byte, error) { return s.v.Block(i, dst) }

// BlockSize is like [Core.BlockSize].
func (s *Snapshot) BlockSize(i uint64) (int, error) { return s.v.BlockSize(i) }

// UserData is like [Core.UserData].
func (s *Snapshot) UserData(name string) ([]byte, error) { return s.v.UserData(name) }

// Has tells whether block i is held.
func (s *Snapshot) Has(i uint64) (bool, error) {
	_, err := s.v.BlockSize(i)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
