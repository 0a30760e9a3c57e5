package space

import (
	"bytes"
	"context"
	"iter"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

// part is the part of the state that a collection has.
type part struct {
	bee    bee
	prefix []byte
}

func newPart(b bee, typ string) part {
	return part{b, append(keyOf(prefixCollection, []byte(typ)), 0)}
}

// Get implements [Reader].
func (p part) Get(ctx context.Context, key []byte) (value []byte, ok bool, err error) {
	e, ok, err := p.bee.Get(ctx, p.key(key))
	return e.Value, ok, err
}

// Entries implements [Reader].
func (p part) Entries(ctx context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error] {
	return func(yield func(hyperbee.Entry, error) bool) {
		for e, err := range p.bee.Entries(ctx, p.within(r)) {
			if err == nil {
				e.Key = e.Key[len(p.prefix):]
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (p part) key(k []byte) []byte { return append(bytes.Clone(p.prefix), k...) }

// within is a range of the part as one of the whole.
func (p part) within(r hyperbee.Range) hyperbee.Range {
	w := hyperbee.Range{Reverse: r.Reverse, Limit: r.Limit}
	switch {
	case r.GT != nil:
		w.GT = p.key(r.GT)
	case r.GTE != nil:
		w.GTE = p.key(r.GTE)
	default:
		w.GTE = p.prefix
	}
	switch {
	case r.LT != nil:
		w.LT = p.key(r.LT)
	case r.LTE != nil:
		w.LTE = p.key(r.LTE)
	default:
		end := bytes.Clone(p.prefix)
		end[len(end)-1] = 1 // after the zero byte that ends the type
		w.LT = end
	}
	return w
}

// writablePart is a part within a call of Apply.
type writablePart struct {
	part
	d *draft
}

// Put implements [State].
func (p writablePart) Put(ctx context.Context, key, value []byte) error {
	return p.d.put(ctx, p.key(key), value)
}

// Del implements [State].
func (p writablePart) Del(ctx context.Context, key []byte) error {
	return p.d.batch.Del(ctx, p.key(key), nil)
}
