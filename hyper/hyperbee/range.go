package hyperbee

import (
	"bytes"
	"context"
	"iter"
)

// Range selects entries by key. Nil bounds are absent; an empty, non-nil bound
// is the empty key. GT goes before GTE and LT before LTE when both are given.
// The zero Range is everything.
type Range struct {
	GT, GTE, LT, LTE []byte
	Reverse          bool
	Limit            int // at most so many entries; 0 is no limit, a negative number none
}

// bounds are the limits of a range in full keys. A nil key is no limit.
type bounds struct {
	lower, upper         []byte
	lowerIncl, upperIncl bool
}

func (t *Tree) bounds(r Range) (b bounds) {
	switch {
	case r.GT != nil:
		b.lower = t.fullKey(r.GT)
	case r.GTE != nil:
		b.lower, b.lowerIncl = t.fullKey(r.GTE), true
	case len(t.prefix) > 0:
		b.lower = t.fullKey([]byte{0})
	}
	switch {
	case r.LT != nil:
		b.upper = t.fullKey(r.LT)
	case r.LTE != nil:
		b.upper, b.upperIncl = t.fullKey(r.LTE), true
	case len(t.prefix) > 0:
		b.upper = prefixEnd(t.prefix)
	}
	return b
}

// prefixEnd returns the first key after all keys with a prefix, nil if none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// Entries yields the entries of a range in the order of their keys. It reads
// the version that is current when the loop starts; later writes are not seen.
// After an error it stops.
func (t *Tree) Entries(ctx context.Context, r Range) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if r.Limit < 0 {
			return
		}
		rd, err := t.reader(ctx)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer rd.close()
		c := newCursor(rd, t.bounds(r), r.Reverse)
		if rd.wait && t.s.ext != nil {
			t.s.ext.hintRange(c, r.Limit)
		}
		defer c.free()
		if err := c.open(ctx); err != nil {
			yield(Entry{}, err)
			return
		}
		for n := 0; r.Limit == 0 || n < r.Limit; n++ {
			seq, b, err := c.next(ctx)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if seq == 0 || !yield(t.entry(seq, &b), nil) {
				return
			}
		}
	}
}

// Peek returns the first entry of a range and whether there is one.
func (t *Tree) Peek(ctx context.Context, r Range) (Entry, bool, error) {
	if r.Limit >= 0 {
		r.Limit = 1
	}
	for e, err := range t.Entries(ctx, r) {
		return e, err == nil, err
	}
	return Entry{}, false, nil
}
