package hyperbee

import (
	"context"
	"fmt"
)

// ClearUnlinked frees the storage of local blocks with start <= seq < end that
// the current version does not refer to any more, and returns how many there
// were. Zero values mean the first block and the version less one. Older
// versions are not readable without fetching these blocks again. With a start,
// blocks before it are cleared too when the given ones replaced their entries.
// The log does not get shorter and peers keep what they have.
func (t *Tree) ClearUnlinked(ctx context.Context, start, end uint64) (cleared int, err error) {
	if t.view != nil {
		return 0, ErrReadOnly
	}
	r, err := t.reader(ctx)
	if err != nil {
		return 0, err
	}
	defer r.close()
	if start == 0 {
		start = 1
	}
	if r.version < 2 {
		return 0, nil
	}
	if last := r.version - 1; end == 0 || end > last {
		end = last
	}
	core := t.s.core
	from := start // blocks from..seq are to be cleared
	clearRun := func(to uint64) error {
		if from == to {
			return nil
		}
		if err := core.Clear(ctx, from, to); err != nil {
			return fmt.Errorf("clear blocks %d to %d: %w", from, to, err)
		}
		cleared += int(to - from)
		return nil
	}
	older, err := t.Checkout(start)
	if err != nil {
		return 0, err
	}
	defer func() { _ = older.Close() }()
	for seq := start; seq < end; seq++ {
		keep := !core.Has(seq, seq+1)
		if !keep {
			n, err := r.clearReplaced(ctx, older.LocalOnly(), seq)
			if cleared += n; err != nil {
				return cleared, err
			}
			if keep, err = r.linked(ctx, seq); err != nil {
				return cleared, err
			}
		}
		if keep {
			if err := clearRun(seq); err != nil {
				return cleared, err
			}
			from = seq + 1
		}
	}
	return cleared, clearRun(end)
}

// clearReplaced frees the block with the entry that an older version has for
// the key of block seq, and returns the number of blocks.
func (r *reader) clearReplaced(ctx context.Context, older *Tree, seq uint64) (int, error) {
	if older.Version() < 2 {
		return 0, nil
	}
	b, err := r.block(ctx, seq, false)
	if err != nil {
		return 0, err
	}
	older.prefix = nil
	e, found, err := older.Get(ctx, b.key)
	if err != nil || !found || !r.core.Has(e.Seq, e.Seq+1) {
		// The older version is not held, or is not one.
		return 0, nil
	}
	if linked, err := r.linked(ctx, e.Seq); linked || err != nil {
		return 0, err
	}
	if err := r.s.core.Clear(ctx, e.Seq, e.Seq+1); err != nil {
		return 0, fmt.Errorf("clear block %d: %w", e.Seq, err)
	}
	return 1, nil
}

// linked reports whether the version refers to a block, as an entry or for a
// node. The block's own key leads to the entry, the first key of each of its
// levels to the node.
func (r *reader) linked(ctx context.Context, seq uint64) (bool, error) {
	b, err := r.block(ctx, seq, false)
	if err != nil {
		return false, err
	}
	if ok, err := r.onPath(ctx, b.key, seq); ok || err != nil {
		return ok, err
	}
	local := *r
	local.wait = false
	f := fields{rest: b.index}
	var keys []key
	for f.next() {
		if f.field != 1 || f.data == nil {
			continue
		}
		if keys, _, err = decodeLevel(f.data, keys[:0], nil); err != nil {
			return false, fmt.Errorf("block %d: %w", seq, err)
		}
		if len(keys) == 0 || keys[0].seq >= r.version {
			continue
		}
		first, err := local.block(ctx, keys[0].seq, false)
		if err != nil {
			// A node of the version whose keys are not local can be fetched again.
			continue
		}
		if ok, err := r.onPath(ctx, first.key, seq); ok || err != nil {
			return ok, err
		}
	}
	return false, f.err
}

// onPath reports whether the path to k passes a node in block seq or an entry
// that is that block.
func (r *reader) onPath(ctx context.Context, k []byte, seq uint64) (bool, error) {
	f := getFrame()
	defer putFrame(f)
	if ok, err := r.loadRoot(ctx, f); !ok || err != nil {
		return false, err
	}
	for depth := 0; depth < maxDepth; depth++ {
		if f.seq == seq {
			return true, nil
		}
		pos, found, err := f.search(ctx, r, k)
		if err != nil {
			return false, err
		}
		if found {
			return f.keys[pos].seq == seq, nil
		}
		if len(f.kids) == 0 {
			return false, nil
		}
		if err := f.loadKid(ctx, r, f, pos); err != nil {
			return false, err
		}
	}
	return false, errTooDeep()
}
