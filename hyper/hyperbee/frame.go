package hyperbee

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// key is an entry in a tree node. b is nil until it is read.
type key struct {
	seq uint64
	b   []byte
}

// kid is a child of a node that is read. live is set when a batch has the
// child in memory.
type kid struct {
	seq, offset uint64
	live        *node
}

// frame is a tree node being read and the place of a walk in it: i = 2n means
// before child n, 2n+1 before key n. Frames are reused with their memory.
type frame struct {
	seq, offset uint64
	keys        []key
	kids        []kid
	i           int
	live        *node // the node of a batch this is a copy of
}

var framePool = sync.Pool{New: func() any { return new(frame) }}

func getFrame() *frame { return framePool.Get().(*frame) }

func putFrame(f *frame) {
	f.reset()
	framePool.Put(f)
}

// reset drops what the frame refers to and unusually large memory.
func (f *frame) reset() {
	clear(f.keys)
	clear(f.kids)
	keys, kids := f.keys[:0], f.kids[:0]
	if cap(keys) > 64 || cap(kids) > 64 {
		keys, kids = nil, nil
	}
	*f = frame{keys: keys, kids: kids}
}

// load reads the node at an address and checks what a walk relies on: a node
// has keys, unless it is the root of an empty tree; it has no children or one
// more than keys; nothing points ahead in the log.
func (f *frame) load(ctx context.Context, r *reader, seq, offset uint64, root bool) error {
	b, err := r.block(ctx, seq, false)
	if err != nil {
		return err
	}
	return f.decode(r, &b, seq, offset, root)
}

func (f *frame) decode(r *reader, b *block, seq, offset uint64, root bool) error {
	level, ok, err := b.level(offset)
	if err != nil {
		return fmt.Errorf("block %d: %w", seq, err)
	}
	if !ok {
		return fmt.Errorf("%w: block %d has no level %d", ErrNotAVersion, seq, offset)
	}
	f.seq, f.offset, f.i, f.live = seq, offset, 0, nil
	f.keys, f.kids, err = decodeLevel(level, f.keys[:0], f.kids[:0])
	if err != nil {
		return fmt.Errorf("block %d: %w", seq, err)
	}
	if len(f.kids) != 0 && len(f.kids) != len(f.keys)+1 || len(f.keys) == 0 && (!root || len(f.kids) != 0) {
		return fmt.Errorf("%w: node %d/%d has %d keys and %d children", ErrNotAVersion, seq, offset, len(f.keys), len(f.kids))
	}
	for i := range f.keys {
		k := &f.keys[i]
		if k.seq > seq || k.seq == 0 {
			return fmt.Errorf("%w: node %d/%d has key %d", ErrNotAVersion, seq, offset, k.seq)
		}
		if k.seq == seq {
			k.b = b.key
		}
	}
	for i := range f.kids {
		if s := f.kids[i].seq; s > seq || s == 0 {
			return fmt.Errorf("%w: node %d/%d has child %d", ErrNotAVersion, seq, offset, s)
		}
	}
	r.near = nodeAt{seq, offset}
	return nil
}

// loadLive copies a node of a batch.
func (f *frame) loadLive(n *node, seq, offset uint64) {
	f.seq, f.offset, f.i, f.live = seq, offset, 0, n
	f.keys = append(f.keys[:0], n.keys...)
	f.kids = f.kids[:0]
	for _, c := range n.children {
		f.kids = append(f.kids, kid{seq: c.seq, offset: c.offset, live: c.node})
	}
}

// loadKid reads child n of the frame p into f.
func (f *frame) loadKid(ctx context.Context, r *reader, p *frame, n int) error {
	k := p.kids[n]
	if k.live != nil {
		f.loadLive(k.live, k.seq, k.offset)
		return nil
	}
	return f.load(ctx, r, k.seq, k.offset, false)
}

// key returns the bytes of key i.
func (f *frame) key(ctx context.Context, r *reader, i int) ([]byte, error) {
	k := &f.keys[i]
	if k.b == nil {
		b, err := r.key(ctx, k.seq)
		if err != nil {
			return nil, err
		}
		k.b = b
	}
	return k.b, nil
}

// search looks for target among the keys. pos is its place, or that of the
// child below which it belongs.
func (f *frame) search(ctx context.Context, r *reader, target []byte) (pos int, found bool, err error) {
	lo, hi := 0, len(f.keys)
	for lo < hi {
		mid := (lo + hi) >> 1
		k, err := f.key(ctx, r, mid)
		if err != nil {
			return 0, false, err
		}
		switch c := bytes.Compare(target, k); {
		case c == 0:
			return mid, true, nil
		case c < 0:
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return lo, false, nil
}
