package hyperbee

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// reader reads the blocks of one version. It serves one operation and is not
// safe for concurrent use.
type reader struct {
	s       *shared
	core    *hypercore.Core
	owned   bool // close core at the end
	wait    bool // wait for peers
	fork    uint64
	version uint64

	// touched is called with each block that is read; waiting before a block is
	// waited for. Either may be nil.
	touched func(seq uint64)
	waiting func()

	near nodeAt  // the node read last, whose neighbours are fetched together
	w    *writer // the batch whose pending operations are seen, or nil

	whole   bool   // the log fits the cache: blocks are read with those near them
	scratch []byte // for reading ahead
}

// reader returns a reader of the tree's version. Close it.
func (t *Tree) reader(ctx context.Context) (*reader, error) {
	r := &reader{s: t.s, wait: !t.local}
	select {
	case <-t.s.closed:
		return nil, ErrClosed
	default:
	}
	if t.view != nil {
		waitCtx := ctx
		if t.local {
			waitCtx = nil
		}
		core, err := t.view.snapshot(t.s, waitCtx)
		if err != nil {
			return nil, err
		}
		if core == nil {
			return nil, fmt.Errorf("version %d: %w", t.view.version, hypercore.ErrNotAvailable)
		}
		r.core, r.version = core, t.view.version
	} else {
		live := t.s.core
		if r.wait && !t.s.opts.EmptyUntilSynced && live.Length() == 0 && !live.Writable() {
			if err := t.s.waitLength(ctx, 1); err != nil {
				return nil, err
			}
		}
		core, err := live.Snapshot()
		if err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		r.core, r.owned, r.version = core, true, max(1, core.Length())
	}
	r.fork = r.core.Fork()
	t.s.followFork(r.fork)
	r.whole = t.s.cache.fits(r.core.Length(), r.core.ByteLength())
	return r, nil
}

func (r *reader) close() {
	if r.owned {
		// A snapshot holds no data; there is nothing to lose.
		_ = r.core.Close()
	}
}

// block returns the block at seq. The value may be missing unless withValue is
// set.
func (r *reader) block(ctx context.Context, seq uint64, withValue bool) (block, error) {
	if r.w != nil && seq >= r.w.base {
		return r.w.pendingBlock(seq)
	}
	if r.touched != nil {
		r.touched(seq)
	}
	b, ok := r.s.cache.get(seq, r.fork)
	if ok && (!withValue || !b.hasValue || b.value != nil) {
		return b, nil
	}
	if r.whole && !ok {
		if b, ok = r.readAhead(seq); ok && (!withValue || !b.hasValue || b.value != nil) {
			return b, nil
		}
	}
	raw, err := r.raw(ctx, seq)
	if err != nil {
		return block{}, fmt.Errorf("read block %d: %w", seq, err)
	}
	if b, err = parseBlock(raw); err != nil {
		return block{}, fmt.Errorf("block %d: %w", seq, err)
	}
	kept := b
	if !withValue {
		kept.value = nil
	}
	r.s.cache.put(seq, r.fork, &kept)
	return b, nil
}

// key returns the key of the block at seq.
func (r *reader) key(ctx context.Context, seq uint64) ([]byte, error) {
	if r.w == nil || seq < r.w.base {
		if b, ok := r.s.keys.get(seq, r.fork); ok {
			if r.touched != nil {
				r.touched(seq)
			}
			return b.key, nil
		}
	}
	b, err := r.block(ctx, seq, false)
	if err == nil && !r.whole && (r.w == nil || seq < r.w.base) {
		r.s.keys.put(seq, r.fork, &block{key: b.key})
	}
	return b.key, err
}

// readAhead brings the local blocks of a cache page into the cache, which are
// near each other in the store, and returns the block seq if it is one of them.
func (r *reader) readAhead(seq uint64) (block, bool) {
	first := max(1, seq-seq%pageSpan)
	for s := first; s < min(first-first%pageSpan+pageSpan, r.version); s++ {
		if r.s.cache.has(s, r.fork) {
			continue
		}
		raw, err := r.core.AppendLocal(r.scratch[:0], s)
		if err != nil {
			continue
		}
		if b, err := parseBlock(raw); err == nil {
			r.s.cache.put(s, r.fork, &b)
		}
		if r.scratch = raw; len(raw) > maxReadAhead {
			r.scratch, r.whole = nil, false
			break
		}
	}
	return r.s.cache.get(seq, r.fork)
}

// maxReadAhead is the size of a block that ends reading ahead.
const maxReadAhead = 8 << 10

// raw returns the bytes of a block, from peers when it is not held.
func (r *reader) raw(ctx context.Context, seq uint64) ([]byte, error) {
	b, err := r.core.GetLocal(seq)
	if err == nil || !r.wait || !errors.Is(err, hypercore.ErrNotAvailable) {
		return b, err
	}
	if r.waiting != nil {
		r.waiting()
	}
	r.fetchNear(seq)
	return r.core.Get(ctx, seq)
}

// nodeAt is where a node is: at an offset in the block at seq, which is 0 for none.
type nodeAt struct{ seq, offset uint64 }

// fetchNear asks for all blocks the last node refers to, because a read that
// needs one of them is likely to need others. It reads that node again: its frame
// may be somebody else's by now.
func (r *reader) fetchNear(seq uint64) {
	at := r.near
	if at.seq == 0 {
		return
	}
	raw, err := r.core.GetLocal(at.seq)
	if err != nil {
		return
	}
	b, err := parseBlock(raw)
	if err != nil {
		return
	}
	f := getFrame()
	defer putFrame(f)
	err = f.decode(r, &b, at.seq, at.offset, true)
	r.near = nodeAt{}
	if err != nil {
		return
	}
	var missing []uint64
	add := func(s uint64) {
		if s != seq && s < r.version && len(missing) < maxNear && !r.core.Has(s, s+1) {
			missing = append(missing, s)
		}
	}
	for i := range f.keys {
		if f.keys[i].b == nil {
			add(f.keys[i].seq)
		}
	}
	for i := range f.kids {
		add(f.kids[i].seq)
	}
	if len(missing) > 0 {
		r.s.fetch.start(r.s.core, missing)
	}
}

const maxNear = 64

// entry reads the entry of a key.
func (r *reader) entry(ctx context.Context, t *Tree, seq uint64) (Entry, error) {
	b, err := r.block(ctx, seq, true)
	if err != nil {
		return Entry{}, err
	}
	return t.entry(seq, &b), nil
}
