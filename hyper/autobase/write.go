package autobase

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

var (
	// ErrNotMember: this device is no writer of the base. A member has to add it.
	ErrNotMember = errors.New("autobase: not a member")
	// ErrEmpty: an empty value, which the format cannot tell from none.
	ErrEmpty = errors.New("autobase: a value must not be empty")
)

// entry is one append that waits to be written.
type entry struct {
	values     [][]byte // nil stands for an acknowledgement
	optimistic bool
	epoch      *uint32 // of keys, nil: the one in force
	receipts   []*Receipt
	written    bool
}

// writable tells whether values of this device count.
func (e *engine) writable(ctx context.Context) (bool, error) {
	if e.sys.info.Members == 0 {
		return e.local.key == e.lineage.base, nil
	}
	return e.sys.active(ctx, e.local.key)
}

// write appends entries, which are of one epoch, to the local log. The state is that after all nodes that
// were loaded; afterwards it is that with the new ones.
//
// If it fails after the nodes were entered, state and log disagree, and the
// engine must not be used any more: that is the error's errStop.
func (e *engine) write(ctx context.Context, entries []*entry) error {
	w := e.local
	start := w.core.Length()
	if w.length() != start {
		return fmt.Errorf("autobase: %d of %d own nodes are loaded", w.length(), start)
	}
	// What begins an epoch of keys is for those who do not have its key yet.
	epoch := e.epoch
	if entries[0].epoch != nil {
		epoch = *entries[0].epoch
	}
	e.lineage.logEpoch.Store(epoch)
	var all []*node
	e.writing = true
	for _, x := range entries {
		for i, value := range x.values {
			b := &oplog.Block{Batch: uint64(len(x.values) - i), Value: value, Optimistic: x.optimistic}
			if i == 0 {
				b.Heads = slices.Clone(e.heads)
			} else {
				b.Heads = []oplog.Ref{all[len(all)-1].Ref}
			}
			n := &node{Ref: oplog.Ref{Key: w.key, Length: start + uint64(len(all)) + 1}, w: w, block: b}
			w.nodes = append(w.nodes, n)
			if err := e.enter(n); err != nil {
				return stop(err)
			}
			all = append(all, n)
			if i < len(x.receipts) {
				x.receipts[i].ref = n.Ref
				e.receipts[n.Ref] = x.receipts[i]
			}
		}
	}
	if err := e.update(ctx); err != nil {
		return stop(err)
	}
	end := start + uint64(len(all))
	// What the blocks before the last one say was known before.
	indexer := slices.Contains(e.indexers, w.key) && len(e.indexed.info.Indexers) > 0
	blocks := make([][]byte, len(all))
	for i, n := range all {
		if indexer {
			if n.Length == end {
				if err := e.sign(ctx, end); err != nil {
					return stop(err)
				}
			}
			n.block.Checkpoint = w.signs.checkpoint(n.Length)
		}
		n.block.Digest = w.signs.name(n.Length, e.system.Key())
		blocks[i] = n.block.AppendTo(nil)
	}
	w.signs.length = end
	if _, err := w.core.Append(ctx, blocks...); err != nil {
		return stop(fmt.Errorf("append to the own log: %w", err))
	}
	for _, x := range entries {
		x.written = true
	}
	// An epoch that these nodes began must not outlive them in a crash.
	e.writing = false
	if rec := e.booted; rec != nil {
		e.booted = nil
		if err := e.remember(rec); err != nil {
			return stop(err)
		}
	}
	return e.collect(ctx)
}

// stopError is an error after which memory and log disagree.
type stopError struct{ err error }

func stop(err error) error         { return &stopError{err} }
func (s *stopError) Error() string { return s.err.Error() }
func (s *stopError) Unwrap() error { return s.err }

// ackNeeded tells whether an empty node of this device helps to confirm or to
// sign what others wrote.
func (e *engine) ackNeeded() bool {
	key := e.local.key
	if slices.Contains(e.sys.info.Pending, key) && e.local.length() == 0 && key != e.lineage.base {
		return true
	}
	if !slices.Contains(e.indexers, key) || len(e.indexed.info.Indexers) == 0 {
		return false
	}
	if e.unsigned() {
		return true
	}
	// Whoever becomes an indexer begins with an empty node.
	more := slices.ContainsFunc(e.applied, func(u unit) bool { return u.updated })
	return e.lin.AckHelps(key, more)
}

// unsigned tells whether this device has not signed all that values did to the
// confirmed state: to the views, or only to the system view, if no quorum has
// signed that either.
func (e *engine) unsigned() bool {
	s := &e.local.signs
	for i, r := range e.indexed.info.Views {
		if i >= len(s.user) || s.user[i].length < r.Length {
			return true
		}
	}
	if e.valuedAt <= e.signed {
		return false
	}
	return s.system == nil || s.core != e.system.Key() || s.system.length < e.valuedAt
}

// pendingIndexer tells whether the base waits for this device's first node.
func (e *engine) pendingIndexer() bool {
	return slices.Contains(e.sys.info.Pending, e.local.key) && e.local.core.Length() == 0 && e.local.key != e.lineage.base
}

// ackable tells whether this device may acknowledge.
func (e *engine) ackable() bool {
	return slices.Contains(e.indexers, e.local.key) || slices.Contains(e.sys.info.Pending, e.local.key)
}
