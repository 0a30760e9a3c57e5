package hyperbee

import (
	"context"
	"iter"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// WatchOptions configures Watch.
type WatchOptions struct {
	// Eager compares with the empty tree first, so that what exists already is
	// the first update.
	Eager bool
}

// Update is a change of a watched range: the tree now and at the update
// before. Both are valid until the next step of the loop.
type Update struct {
	Current, Previous *Tree
}

// Watch yields when entries of a range changed, until the context ends, which
// gives its error. Changes between two steps come as one update. A truncation
// by a new fork is a change even if all entries stayed the same; what it cut off
// cannot be read from Previous any more, which is [hypercore.ErrTruncated]. opts
// may be nil.
func (t *Tree) Watch(ctx context.Context, r Range, opts *WatchOptions) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		if err := t.watch(ctx, r, opts != nil && opts.Eager, yield); err != nil {
			yield(Update{}, err)
		}
	}
}

func (t *Tree) watch(ctx context.Context, r Range, eager bool, yield func(Update, error) bool) error {
	if t.view != nil {
		return ErrReadOnly
	}
	signal, cancel := t.s.changes()
	defer cancel()
	previous, err := t.watchBase(eager)
	if err != nil {
		return err
	}
	defer func() { _ = previous.Close() }()
	for first := eager; ; first = false {
		if !first {
			if err := t.s.waitChange(ctx, signal); err != nil {
				return err
			}
		}
		current, err := t.Snapshot()
		if err != nil {
			return err
		}
		changed, err := changedRange(ctx, current, previous, r)
		if err != nil {
			_ = current.Close()
			return err
		}
		if changed && !yield(Update{Current: current, Previous: previous}, nil) {
			return current.Close()
		}
		_ = previous.Close()
		previous = current
	}
}

func (t *Tree) watchBase(eager bool) (*Tree, error) {
	if eager {
		return t.Checkout(1)
	}
	return t.Snapshot()
}

// changedRange reports whether two snapshots differ in a range.
func changedRange(ctx context.Context, current, previous *Tree, r Range) (bool, error) {
	if current.view.core.Fork() != previous.view.core.Fork() {
		return true, nil
	}
	r.Limit = 1
	for _, err := range current.Diff(ctx, previous, r) {
		return err == nil, err
	}
	return false, nil
}

// WatchKey yields the entry of a key, nil if there is none, at the start and
// whenever it changed, until the context ends, which gives its error. Changes
// between two steps come as one.
func (t *Tree) WatchKey(ctx context.Context, key []byte) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		if err := t.watchKey(ctx, key, yield); err != nil {
			yield(nil, err)
		}
	}
}

func (t *Tree) watchKey(ctx context.Context, key []byte, yield func(*Entry, error) bool) error {
	if t.view != nil {
		return ErrReadOnly
	}
	signal, cancel := t.s.changes()
	defer cancel()
	seq, fork, first := uint64(0), uint64(0), true
	for {
		now := t.s.core.Fork()
		e, found, err := t.Get(ctx, key)
		if err != nil {
			return err
		}
		if first || e.Seq != seq || now != fork {
			first, seq, fork = false, e.Seq, now
			entry := &e
			if !found {
				entry = nil
			}
			if !yield(entry, nil) {
				return nil
			}
		}
		if err := t.s.waitChange(ctx, signal); err != nil {
			return err
		}
	}
}

// changes returns a channel that gets a token after appends and truncations.
func (s *shared) changes() (signal chan struct{}, cancel func()) {
	signal = make(chan struct{}, 1)
	cancel = s.core.Events(func(e hypercore.Event) {
		if e.Type != hypercore.EventAppend && e.Type != hypercore.EventTruncate {
			return
		}
		select {
		case signal <- struct{}{}:
		default:
		}
	})
	return signal, cancel
}

func (s *shared) waitChange(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
}
