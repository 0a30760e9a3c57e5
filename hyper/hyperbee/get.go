package hyperbee

import (
	"bytes"
	"context"
	"fmt"
)

// Get returns the entry of a key and whether there is one. It waits for blocks
// that are not held.
func (t *Tree) Get(ctx context.Context, key []byte) (Entry, bool, error) {
	r, err := t.reader(ctx)
	if err != nil {
		return Entry{}, false, err
	}
	defer r.close()
	k := t.fullKey(key)
	if r.wait && t.s.ext != nil && r.version > 1 {
		r.waiting = t.s.ext.getHint(r.version, k)
	}
	return t.get(ctx, r, k)
}

func (t *Tree) get(ctx context.Context, r *reader, k []byte) (Entry, bool, error) {
	if r.version < 2 {
		return Entry{}, false, nil
	}
	seq := r.version - 1
	b, err := r.block(ctx, seq, false)
	if err != nil {
		return Entry{}, false, err
	}
	f := getFrame()
	defer putFrame(f)
	// The newest operation is decided by its block alone. For nodes further down
	// this does not hold, although JavaScript looks there too: a node can stay in
	// the block of a put whose key was deleted since.
	if bytes.Equal(b.key, k) {
		// Level 0 must be there all the same, or the version is none.
		if err := f.decode(r, &b, seq, 0, true); err != nil {
			return Entry{}, false, err
		}
		deleted, err := b.isDeletion(seq)
		if err != nil || deleted {
			return Entry{}, false, err
		}
		e, err := r.entry(ctx, t, seq)
		return e, err == nil, err
	}
	if err := f.decode(r, &b, seq, 0, true); err != nil {
		return Entry{}, false, err
	}
	return t.descend(ctx, r, f, k)
}

// descend follows the path to a key from the node in f.
func (t *Tree) descend(ctx context.Context, r *reader, f *frame, k []byte) (Entry, bool, error) {
	for depth := 0; depth < maxDepth; depth++ {
		pos, found, err := f.search(ctx, r, k)
		if err != nil {
			return Entry{}, false, err
		}
		if found {
			e, err := r.entry(ctx, t, f.keys[pos].seq)
			return e, err == nil, err
		}
		if len(f.kids) == 0 {
			return Entry{}, false, nil
		}
		if err := f.loadKid(ctx, r, f, pos); err != nil {
			return Entry{}, false, err
		}
	}
	return Entry{}, false, errTooDeep()
}

func errTooDeep() error {
	return fmt.Errorf("%w: more than %d levels", ErrNotAVersion, maxDepth)
}

// GetBySeq returns key and value of the block seq, whatever became of the
// entry since; for a deletion Value is nil. A seq that the version or sub-tree
// does not contain gives ErrNotFound.
func (t *Tree) GetBySeq(ctx context.Context, seq uint64) (Entry, error) {
	r, err := t.reader(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer r.close()
	if seq == 0 || seq >= r.version {
		return Entry{}, fmt.Errorf("seq %d of version %d: %w", seq, r.version, ErrNotFound)
	}
	b, err := r.block(ctx, seq, true)
	if err != nil {
		return Entry{}, err
	}
	if !bytes.HasPrefix(b.key, t.prefix) {
		return Entry{}, fmt.Errorf("seq %d is outside the sub-tree: %w", seq, ErrNotFound)
	}
	return t.entry(seq, &b), nil
}
