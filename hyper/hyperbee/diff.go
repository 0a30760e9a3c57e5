package hyperbee

import (
	"bytes"
	"context"
	"fmt"
	"iter"
)

// Difference is a key whose entry differs between two versions. Left is nil
// when only the right version has the key and the other way round.
type Difference struct {
	Left, Right *Entry
}

// Diff yields, in key order, the keys of a range whose entries in t and in
// other, usually an older version, differ. A key put again with the same value
// differs, because its seq does. Subtrees that both versions share are not read.
// Limit counts differences.
func (t *Tree) Diff(ctx context.Context, other *Tree, r Range) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		if r.Limit < 0 {
			return
		}
		if err := t.diff(ctx, other, r, yield); err != nil {
			yield(Difference{}, err)
		}
	}
}

func (t *Tree) diff(ctx context.Context, other *Tree, r Range, yield func(Difference, error) bool) error {
	left, err := t.reader(ctx)
	if err != nil {
		return err
	}
	defer left.close()
	right, err := other.reader(ctx)
	if err != nil {
		return err
	}
	defer right.close()
	d := differ{
		a: newCursor(left, t.bounds(r), r.Reverse),
		b: newCursor(right, other.bounds(r), r.Reverse),
	}
	defer d.a.free()
	defer d.b.free()
	// Addresses mean the same on both sides only within one fork of one log.
	d.shared = left.fork == right.fork && left.s.core.Key() == right.s.core.Key()
	if err := d.a.open(ctx); err != nil {
		return err
	}
	if err := d.b.open(ctx); err != nil {
		return err
	}
	for n := 0; r.Limit == 0 || n < r.Limit; n++ {
		l, rt, err := d.next(ctx, t, other)
		if err != nil || l == nil && rt == nil {
			return err
		}
		if !yield(Difference{Left: l, Right: rt}, nil) {
			return nil
		}
	}
	return nil
}

// differ merges two walks. Each walk is at a key or before a child; children
// with the same address on both sides are passed over.
type differ struct {
	a, b   *cursor
	shared bool
}

func (d *differ) next(ctx context.Context, lt, rt *Tree) (left, right *Entry, err error) {
	for {
		ha, hb := d.a.head(), d.b.head()
		switch {
		case ha.kind == atEnd && hb.kind == atEnd:
			return nil, nil, nil
		case d.shared && ha == hb:
			d.a.step(d.a.top())
			d.b.step(d.b.top())
			continue
		case ha.kind == atChild && hb.kind == atChild:
			err = d.enter(ctx)
		case ha.kind == atChild:
			err = d.a.enter(ctx)
		case hb.kind == atChild:
			err = d.b.enter(ctx)
		default:
			left, right, err = d.keys(ctx, ha, hb, lt, rt)
		}
		if err != nil || left != nil || right != nil {
			return left, right, err
		}
	}
}

// enter descends on the side whose child reaches further, which may contain
// the child of the other side, and on both when they end at the same key.
func (d *differ) enter(ctx context.Context) error {
	ka, err := d.a.bound(ctx)
	if err != nil {
		return err
	}
	kb, err := d.b.bound(ctx)
	if err != nil {
		return err
	}
	c := 0
	switch {
	case ka == nil && kb != nil:
		c = 1
	case ka != nil && kb == nil:
		c = -1
	case ka != nil:
		c = d.a.compare(ka, kb)
	}
	if c >= 0 {
		if err := d.a.enter(ctx); err != nil {
			return err
		}
	}
	if c <= 0 {
		return d.b.enter(ctx)
	}
	return nil
}

// keys handles two walks that are at keys or at their ends. It returns nothing
// when the entries are the same.
func (d *differ) keys(ctx context.Context, ha, hb head, lt, rt *Tree) (left, right *Entry, err error) {
	c := 0
	switch {
	case ha.kind == atEnd:
		c = 1
	case hb.kind == atEnd:
		c = -1
	default:
		var ka, kb []byte
		if ka, err = d.a.headKey(ctx); err != nil {
			return nil, nil, err
		}
		if kb, err = d.b.headKey(ctx); err != nil {
			return nil, nil, err
		}
		c = d.a.compare(ka, kb)
	}
	if c <= 0 {
		if left, err = d.a.take(ctx, lt); err != nil {
			return nil, nil, err
		}
	}
	if c >= 0 {
		if right, err = d.b.take(ctx, rt); err != nil {
			return nil, nil, err
		}
	}
	if c == 0 && left != nil && right != nil && left.Seq == right.Seq && (d.shared || sameValue(left.Value, right.Value)) {
		return nil, nil, nil
	}
	return left, right, nil
}

func sameValue(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

const (
	atEnd = iota
	atKey
	atChild
)

// head is what a walk comes to next.
type head struct {
	kind        int
	seq, offset uint64
}

func (c *cursor) head() head {
	for len(c.path) > 0 {
		f := c.top()
		switch {
		case f.i < 0 || f.i > 2*len(f.keys):
			c.pop()
		case f.i&1 == 1:
			return head{kind: atKey, seq: f.keys[f.i>>1].seq}
		case len(f.kids) == 0:
			c.step(f)
		default:
			k := f.kids[f.i>>1]
			return head{kind: atChild, seq: k.seq, offset: k.offset}
		}
	}
	return head{}
}

func (c *cursor) headKey(ctx context.Context) ([]byte, error) {
	f := c.top()
	return f.key(ctx, c.r, f.i>>1)
}

// enter descends into the child at the head.
func (c *cursor) enter(ctx context.Context) error {
	f := c.top()
	n := f.i >> 1
	c.step(f)
	return c.descend(ctx, f, n)
}

// bound returns the key that follows the child at the head, nil if none.
func (c *cursor) bound(ctx context.Context) ([]byte, error) {
	for j := len(c.path) - 1; j >= 0; j-- {
		f, i := c.path[j], c.path[j].i
		if j == len(c.path)-1 {
			if i++; c.reverse {
				i -= 2
			}
		}
		if i >= 0 && i <= 2*len(f.keys) {
			return f.key(ctx, c.r, i>>1)
		}
	}
	return nil, nil
}

// take returns the entry at the head and moves past it; nil when it is beyond
// the bounds, which ends the walk.
func (c *cursor) take(ctx context.Context, t *Tree) (*Entry, error) {
	f := c.top()
	seq := f.keys[f.i>>1].seq
	c.step(f)
	b, err := c.r.block(ctx, seq, true)
	if err != nil {
		return nil, err
	}
	if c.beyond(b.key) {
		c.free()
		return nil, nil
	}
	if err := c.inOrder(b.key); err != nil {
		return nil, fmt.Errorf("diff: %w", err)
	}
	e := t.entry(seq, &b)
	return &e, nil
}
