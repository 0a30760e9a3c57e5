package hypercore

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// TruncateOptions configures Truncate.
type TruncateOptions struct {
	// Fork is the new fork. It must be higher than the current one; 0 means one
	// higher.
	Fork uint64
	// Signature was made elsewhere, for logs that need several signers.
	Signature []byte
}

// Truncate cuts the log to length blocks and signs the new state under a higher
// fork, so that peers follow. It returns when that is durable. Cutting to the
// current length only raises the fork. opts may be nil.
func (c *Core) Truncate(ctx context.Context, length uint64, opts *TruncateOptions) error {
	if err := c.open(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.readOnly || c.snap != nil {
		return ErrNotWritable
	}
	if c.branch != nil {
		return c.branch.truncate(length)
	}
	if c.draft != nil {
		return c.draft.truncate(length)
	}
	var o TruncateOptions
	if opts != nil {
		o = *opts
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	return l.truncateLocked(length, &o)
}

// truncateLocked cuts the log. l.change must be held.
func (l *log) truncateLocked(length uint64, o *TruncateOptions) error {
	if err := l.usable(); err != nil {
		return err
	}
	old := l.state()
	if length > old.Length {
		return fmt.Errorf("%w: truncate %d blocks to %d", ErrOutOfRange, old.Length, length)
	}
	if p := l.prologue(); length < p {
		return fmt.Errorf("%w: the first %d blocks are fixed by the manifest", ErrOutOfRange, p)
	}
	fork := o.Fork
	if fork == 0 {
		fork = old.Fork + 1
	}
	if fork <= old.Fork {
		return fmt.Errorf("hypercore: fork %d is not higher than %d", fork, old.Fork)
	}
	t, err := merkle.Load(l, fork, length)
	if err != nil {
		return fmt.Errorf("truncate to %d: %w", length, err)
	}
	h := head{Tree: t}
	if h.signature, err = l.sign(&h.Tree, o.Signature); err != nil {
		return err
	}
	if err := l.branchesKeep(length); err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	l.truncate(b, length)
	b.SetHead(l.st, l.record(&h))
	l.forkSeq.Add(1)
	defer l.forkSeq.Add(1)
	if err := l.commit(b, l.durability()); err != nil {
		return err
	}
	l.cut(&h, length, old.Length)
	l.publish(l.durability() == storage.Durable)
	l.repl.forked(length, old.Length)
	return nil
}

// cut makes h, which shares its first keep blocks with a state of oldLength
// blocks, the state in memory, and tells the handles.
func (l *log) cut(h *head, keep, oldLength uint64) {
	l.mu.Lock()
	l.head = *h
	l.remoteContiguous = min(l.remoteContiguous, keep)
	l.cutSnapshotsLocked(keep)
	l.mu.Unlock()
	l.events.emit(Event{Type: EventTruncate, Length: h.Length, Fork: h.Fork, Index: keep})
}

// prologue returns the length that the manifest fixes.
func (l *log) prologue() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.rules == nil || l.rules.Prologue() == nil {
		return 0
	}
	return l.rules.Prologue().Length
}

func loadTree(l *log, fork, length uint64) (merkle.Tree, error) {
	return merkle.Load(l, fork, length)
}

// Clear drops the blocks from start up to but not including end from the local
// store; the space comes back. The log does not change: other peers keep theirs,
// and Get fetches them again. Tree nodes stay, so that what is still held can be
// proven.
func (c *Core) Clear(ctx context.Context, start, end uint64) error {
	if err := c.open(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.branch != nil || c.draft != nil {
		return fmt.Errorf("%w: a branch cannot be cleared", ErrNotWritable)
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	h := l.state()
	end = min(end, h.Length)
	if start >= end {
		return nil
	}
	first, any := l.st.NextHeld(start)
	if !any || first >= end {
		return nil
	}
	b := l.db.NewBatch()
	defer b.Close()
	b.ClearBlocks(l.st, start, end)
	if err := l.commit(b, l.durability()); err != nil {
		return err
	}
	l.events.emit(Event{Type: EventClear, Length: h.Length, Fork: h.Fork, Index: start, Bytes: int(min(end-start, 1<<31))})
	l.repl.cleared(start, end)
	return nil
}

// Shrink has the storage of this log take no more than what is left of it, after much was
// cleared. The space of large blocks comes back by itself, that of small ones only when the
// database gets to it. It takes as long as reading and writing what is left.
func (c *Core) Shrink(ctx context.Context) error {
	if err := c.open(); err != nil {
		return err
	}
	return c.log.st.Shrink(ctx)
}
