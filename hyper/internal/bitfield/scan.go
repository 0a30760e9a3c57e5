package bitfield

import (
	"iter"
	"math/bits"
)

// NextSet returns the first member that is at least from.
func (b *Bitfield) NextSet(from uint64) (i uint64, ok bool) {
	for at := b.search(from >> pageShift); at < len(b.chunks); at++ {
		c := &b.chunks[at]
		s := max(from, c.start<<pageShift)
		if c.w == nil {
			return s, true
		}
		if k, ok := c.w.next(uint(s&(PageBits-1)), 0); ok {
			return c.start<<pageShift + uint64(k), true
		}
	}
	return 0, false
}

// NextUnset returns the first number, at least from, that is not a member. It
// is Max when there is none.
func (b *Bitfield) NextUnset(from uint64) uint64 {
	for at := b.search(from >> pageShift); at < len(b.chunks) && from < Max; at++ {
		c := &b.chunks[at]
		if from < c.start<<pageShift {
			break
		}
		if c.w != nil {
			if k, ok := c.w.next(uint(from&(PageBits-1)), ^uint64(0)); ok {
				return c.start<<pageShift + uint64(k)
			}
		}
		from = c.end() << pageShift
	}
	return min(from, Max)
}

// PrevSet returns the last member that is at most from.
func (b *Bitfield) PrevSet(from uint64) (i uint64, ok bool) {
	page := from >> pageShift
	at := b.search(page)
	if at == len(b.chunks) || b.chunks[at].start > page {
		at--
	}
	for ; at >= 0; at-- {
		c := &b.chunks[at]
		s := min(from, c.end()<<pageShift-1)
		if c.w == nil {
			return s, true
		}
		if k, ok := c.w.prev(uint(s&(PageBits-1)), 0); ok {
			return c.start<<pageShift + uint64(k), true
		}
	}
	return 0, false
}

// All tells whether all of [start, end) are members.
func (b *Bitfield) All(start, end uint64) bool {
	return start >= end || b.NextUnset(start) >= end
}

// Runs yields the maximal runs of members inside [start, end), as half-open
// ranges in ascending order. The set must not change meanwhile.
func (b *Bitfield) Runs(start, end uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(uint64, uint64) bool) {
		for start < end {
			s, ok := b.NextSet(start)
			if !ok || s >= end {
				return
			}
			start = min(b.NextUnset(s), end)
			if !yield(s, start) {
				return
			}
		}
	}
}

// NextMissing returns the first number in [from, end) that is a member of b and
// not of held: with b a peer's blocks, the first one worth asking for.
func (b *Bitfield) NextMissing(held *Bitfield, from, end uint64) (i uint64, ok bool) {
	for from < end {
		s, ok := b.NextSet(from)
		if !ok || s >= end {
			return 0, false
		}
		page := s >> pageShift
		bw, hw := b.page(page), held.page(page)
		if hw == nil {
			return s, true
		}
		for k := uint(s>>6) & (pageWords - 1); k < pageWords; k++ {
			d := hw[k] ^ ^uint64(0)
			if bw != nil {
				d &= bw[k]
			}
			base := page<<pageShift + uint64(k)<<6
			if base < s {
				d &= ^uint64(0) << (s & 63)
			}
			if d != 0 {
				i = base + uint64(bits.TrailingZeros64(d))
				return i, i < end
			}
		}
		from = (page + 1) << pageShift
		if n := held.NextUnset(from); n > from {
			from = n
		}
	}
	return 0, false
}

var ones = func() *words {
	w := new(words)
	w.set(0, PageBits)
	return w
}()

// page returns the bits of a page: nil if it is empty, shared ones if full.
func (b *Bitfield) page(page uint64) *words {
	at := b.search(page)
	if at == len(b.chunks) || b.chunks[at].start > page {
		return nil
	}
	if w := b.chunks[at].w; w != nil {
		return w
	}
	return ones
}

// next returns the first bit at or after from that differs from the bits of
// flip: 0 looks for ones, all ones looks for zeros.
func (w *words) next(from uint, flip uint64) (uint, bool) {
	k := from >> 6
	v := (w[k] ^ flip) & (^uint64(0) << (from & 63))
	for v == 0 {
		if k++; k == pageWords {
			return 0, false
		}
		v = w[k] ^ flip
	}
	return k<<6 + uint(bits.TrailingZeros64(v)), true
}

func (w *words) prev(from uint, flip uint64) (uint, bool) {
	k := int(from >> 6)
	v := (w[k] ^ flip) & (^uint64(0) >> (63 - from&63))
	for v == 0 {
		if k--; k < 0 {
			return 0, false
		}
		v = w[k] ^ flip
	}
	return uint(k)<<6 + 63 - uint(bits.LeadingZeros64(v)), true
}
