package space

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// snapshots holds the newest whole state: the tree of the base is taken back and
// written again while the base puts its tip in another order, which no reader must see.
type snapshots struct {
	mu   sync.Mutex // guards what follows and the fields of snapshots
	last *snapshot
}

// snapshot is a state that does not change.
type snapshot struct {
	core *hypercore.Core
	tree *hyperbee.Tree // nil until it is read
	refs int            // readers, and one for being the last
}

// take makes the present state of a core the newest.
func (s *snapshots) take(core *hypercore.Core) error {
	c, err := core.Snapshot()
	if err != nil {
		return fmt.Errorf("snapshot of the state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(s.last)
	s.last = &snapshot{core: c, refs: 1}
	return nil
}

// use returns the newest state until release is called.
func (s *snapshots) use() (tree *hyperbee.Tree, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.last
	if x.tree == nil {
		x.tree = hyperbee.New(x.core, &hyperbee.Options{ReadOnly: true, EmptyUntilSynced: true, NoExtension: true, CacheBytes: cacheBytes})
	}
	x.refs++
	return x.tree, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.releaseLocked(x)
	}
}

func (s *snapshots) releaseLocked(x *snapshot) {
	if x == nil {
		return
	}
	if x.refs--; x.refs > 0 {
		return
	}
	if x.tree != nil {
		x.tree.Close()
	}
	x.core.Close()
}

// close gives the newest state back. Readers that are at it finish.
func (s *snapshots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(s.last)
	s.last = nil
}

// reader reads the newest state, each call the one that is newest then.
type reader struct {
	s   *snapshots
	typ string
}

// Get implements [Reader].
func (r reader) Get(ctx context.Context, key []byte) (value []byte, ok bool, err error) {
	tree, release := r.s.use()
	defer release()
	return newPart(tree, r.typ).Get(ctx, key)
}

// Entries implements [Reader].
func (r reader) Entries(ctx context.Context, rg hyperbee.Range) iter.Seq2[hyperbee.Entry, error] {
	return func(yield func(hyperbee.Entry, error) bool) {
		tree, release := r.s.use()
		defer release()
		newPart(tree, r.typ).Entries(ctx, rg)(yield)
	}
}
