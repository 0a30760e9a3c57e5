package hyperbee

import (
	"context"
	"fmt"
	"iter"
)

// Put sets a key. A nil value is stored as null, which is not a deletion. It
// waits for other writers. opts may be nil.
func (t *Tree) Put(ctx context.Context, key, value []byte, opts *PutOptions) error {
	var cas func(prev, next Entry) bool
	if opts != nil {
		cas = opts.CAS
	}
	return t.write(ctx, func(w *writer) (bool, error) { return w.put(ctx, t.fullKey(key), value, cas) })
}

// Del deletes a key. Deleting a key that does not exist writes nothing. It
// waits for other writers. opts may be nil.
func (t *Tree) Del(ctx context.Context, key []byte, opts *DelOptions) error {
	var cas func(prev, next Entry) bool
	if opts != nil {
		cas = opts.CAS
	}
	return t.write(ctx, func(w *writer) (bool, error) { return w.del(ctx, t.fullKey(key), cas) })
}

func (t *Tree) write(ctx context.Context, apply func(w *writer) (bool, error)) error {
	if !t.Writable() {
		return ErrReadOnly
	}
	if err := t.s.acquire(ctx); err != nil {
		return err
	}
	defer t.s.release()
	w, err := t.writer(ctx)
	if err != nil {
		return err
	}
	changed, err := apply(w)
	if err != nil || !changed {
		return err
	}
	return w.flush(ctx)
}

// Truncate cuts the log to a version and raises its fork. It waits for other
// writers. Cut only at lengths that were versions; see Checkout.
func (t *Tree) Truncate(ctx context.Context, version uint64) error {
	if !t.Writable() {
		return ErrReadOnly
	}
	if err := t.s.acquire(ctx); err != nil {
		return err
	}
	defer t.s.release()
	core := t.s.core
	if err := core.Truncate(ctx, version, nil); err != nil {
		return fmt.Errorf("truncate to version %d: %w", version, err)
	}
	t.s.truncateCaches(version, core.Fork())
	t.s.end = version
	return nil
}

// Batch collects puts and deletes and writes them in one append. It takes the
// tree's write lock at its first put or delete and keeps it until Flush or
// Close; one of them must be called. Its methods may be called concurrently and
// take turns.
type Batch struct {
	t      *Tree
	turn   chan struct{} // holds a token during a method
	w      *writer       // nil before the first put or delete
	writes uint64        // number of changes, to notice them in a running range
	closed bool
}

// Batch returns a new batch.
func (t *Tree) Batch() *Batch { return &Batch{t: t, turn: make(chan struct{}, 1)} }

func (b *Batch) enter(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.closed {
		<-b.turn
		return ErrClosed
	}
	return nil
}

func (b *Batch) leave() { <-b.turn }

// lockedWriter returns the writer, with the write lock taken. The turn is held.
func (b *Batch) lockedWriter(ctx context.Context) (*writer, error) {
	if b.w != nil {
		return b.w, b.w.failed
	}
	if !b.t.Writable() {
		return nil, ErrReadOnly
	}
	if err := b.t.s.acquire(ctx); err != nil {
		return nil, err
	}
	w, err := b.t.writer(ctx)
	if err != nil {
		b.t.s.release()
		return nil, err
	}
	b.w = w
	return w, nil
}

// Put is Tree.Put as part of the batch.
func (b *Batch) Put(ctx context.Context, key, value []byte, opts *PutOptions) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	w, err := b.lockedWriter(ctx)
	if err != nil {
		return err
	}
	var cas func(prev, next Entry) bool
	if opts != nil {
		cas = opts.CAS
	}
	k := w.copy(b.t.prefix, key)
	if value != nil {
		value = w.copy(nil, value)
	}
	b.writes++
	_, err = w.put(ctx, k, value, cas)
	return err
}

// Del is Tree.Del as part of the batch.
func (b *Batch) Del(ctx context.Context, key []byte, opts *DelOptions) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	w, err := b.lockedWriter(ctx)
	if err != nil {
		return err
	}
	var cas func(prev, next Entry) bool
	if opts != nil {
		cas = opts.CAS
	}
	b.writes++
	_, err = w.del(ctx, w.copy(b.t.prefix, key), cas)
	return err
}

// Get is Tree.Get with the operations of the batch applied.
func (b *Batch) Get(ctx context.Context, key []byte) (Entry, bool, error) {
	if err := b.enter(ctx); err != nil {
		return Entry{}, false, err
	}
	defer b.leave()
	if b.w == nil {
		return b.t.Get(ctx, key)
	}
	if b.w.failed != nil {
		return Entry{}, false, b.w.failed
	}
	return b.w.get(ctx, b.t.fullKey(key))
}

// Entries is Tree.Entries with the operations of the batch applied. The loop
// body may put and delete: the walk goes on behind its last key.
func (b *Batch) Entries(ctx context.Context, r Range) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if r.Limit < 0 {
			return
		}
		it := batchWalk{b: b, bounds: b.t.bounds(r), reverse: r.Reverse}
		defer it.free()
		for n := 0; r.Limit == 0 || n < r.Limit; n++ {
			e, ok, err := it.next(ctx)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !ok || !yield(e, nil) {
				return
			}
		}
	}
}

// Peek returns the first entry of a range and whether there is one.
func (b *Batch) Peek(ctx context.Context, r Range) (Entry, bool, error) {
	for e, err := range b.Entries(ctx, r) {
		return e, err == nil, err
	}
	return Entry{}, false, nil
}

// batchWalk is a range over a batch. It starts again behind the last key when
// the batch has changed.
type batchWalk struct {
	b       *Batch
	bounds  bounds
	reverse bool
	c       *cursor
	writes  uint64
}

func (it *batchWalk) next(ctx context.Context) (Entry, bool, error) {
	b := it.b
	if err := b.enter(ctx); err != nil {
		return Entry{}, false, err
	}
	defer b.leave()
	if b.w != nil && b.w.failed != nil {
		return Entry{}, false, b.w.failed
	}
	if it.c == nil || it.writes != b.writes {
		it.free()
		r, err := b.reader(ctx)
		if err != nil {
			return Entry{}, false, err
		}
		it.c, it.writes = newCursor(r, it.bounds, it.reverse), b.writes
		if err := it.c.open(ctx); err != nil {
			return Entry{}, false, err
		}
	}
	seq, blk, err := it.c.next(ctx)
	if err != nil || seq == 0 {
		return Entry{}, false, err
	}
	if it.reverse {
		it.bounds.upper, it.bounds.upperIncl = blk.key, false
	} else {
		it.bounds.lower, it.bounds.lowerIncl = blk.key, false
	}
	return b.t.entry(seq, &blk), true, nil
}

func (it *batchWalk) free() {
	if it.c != nil {
		it.c.free()
		it.c.r.close()
		it.c = nil
	}
}

// reader returns a reader of the batch. The turn is held.
func (b *Batch) reader(ctx context.Context) (*reader, error) {
	if b.w != nil {
		return b.w.r, nil
	}
	return b.t.reader(ctx)
}

// Len returns the number of blocks Flush is going to append.
func (b *Batch) Len() int {
	b.turn <- struct{}{}
	defer b.leave()
	if b.closed || b.w == nil {
		return 0
	}
	return len(b.w.pending)
}

// Flush appends all operations in one atomic append and closes the batch. On
// an error nothing of the batch is written unless the error says that the
// outcome of the append is unknown.
func (b *Batch) Flush(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	b.closed = true
	if b.w == nil {
		return nil
	}
	defer b.unlock()
	return b.w.flush(ctx)
}

// Close drops operations that were not flushed. A header that the batch wrote
// stays. It may be called after Flush and more than once.
func (b *Batch) Close() error {
	b.turn <- struct{}{}
	defer b.leave()
	b.closed = true
	b.unlock()
	return nil
}

// unlock releases the write lock if the batch has it. The turn is held.
func (b *Batch) unlock() {
	if b.w != nil {
		b.w = nil
		b.t.s.release()
	}
}
