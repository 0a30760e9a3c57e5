package bitfield

import "math/bits"

const (
	// PageBits is the number of bits in a page.
	PageBits  = 1 << pageShift
	pageShift = 15
	pageWords = PageBits / 64

	// Max is the end of the index space: indexes are below it.
	Max = 1 << 53
)

// A Bitfield is a set of integers in [0, Max). The zero value is empty and
// ready to use. Several goroutines may read it while none writes.
type Bitfield struct {
	chunks []chunk // sorted, disjoint; neighbouring full chunks are joined
	count  uint64
}

type words [pageWords]uint64

// chunk is n full pages (w nil), or one page that is neither full nor empty.
type chunk struct {
	start uint64 // page number
	n     uint64 // pages; 1 if w is set
	w     *words
	pop   uint32 // bits set in w
}

func (c *chunk) end() uint64 { return c.start + c.n }

// search returns the position of the first chunk that ends after page.
func (b *Bitfield) search(page uint64) int {
	cs := b.chunks
	if n := len(cs); n == 0 || cs[n-1].end() <= page {
		return n
	}
	lo, hi := 0, len(cs)-1
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if cs[m].end() > page {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// Get tells whether i is in the set.
func (b *Bitfield) Get(i uint64) bool {
	page := i >> pageShift
	at := b.search(page)
	if at == len(b.chunks) {
		return false
	}
	c := &b.chunks[at]
	if c.start > page {
		return false
	}
	return c.w == nil || c.w[i>>6&(pageWords-1)]&(1<<(i&63)) != 0
}

// Count returns the number of members.
func (b *Bitfield) Count() uint64 { return b.count }

// Pages returns how many pages are kept with their bits, 4 KiB each.
func (b *Bitfield) Pages() int {
	n := 0
	for i := range b.chunks {
		if b.chunks[i].w != nil {
			n++
		}
	}
	return n
}

// Chunks returns the number of stretches kept, about 32 bytes each in addition
// to the bits of Pages.
func (b *Bitfield) Chunks() int { return len(b.chunks) }

// Set adds i to the set or removes it, and tells whether that changed anything.
func (b *Bitfield) Set(i uint64, v bool) bool { return b.SetRange(i, i+1, v) != 0 }

// SetRange adds [start, end) to the set or removes it, and returns how many
// members that added or removed.
func (b *Bitfield) SetRange(start, end uint64, v bool) (changed uint64) {
	if end > Max {
		end = Max
	}
	if start >= end {
		return 0
	}
	first, last := start>>pageShift, (end-1)>>pageShift
	if first == last {
		return b.setInPage(first, uint(start&(PageBits-1)), uint((end-1)&(PageBits-1))+1, v)
	}
	if off := uint(start & (PageBits - 1)); off != 0 {
		changed += b.setInPage(first, off, PageBits, v)
		first++
	}
	if off := uint(end & (PageBits - 1)); off != 0 {
		changed += b.setInPage(last, 0, off, v)
		last--
	}
	if first <= last {
		changed += b.setPages(first, last+1, v)
	}
	return changed
}

// setPages sets or clears whole pages [first, end).
func (b *Bitfield) setPages(first, end uint64, v bool) (changed uint64) {
	lo := b.search(first)
	hi := lo
	var had uint64
	var left, right chunk // parts of full chunks that stick out
	for hi < len(b.chunks) && b.chunks[hi].start < end {
		c := &b.chunks[hi]
		if c.w != nil {
			had += uint64(c.pop)
			hi++
			continue
		}
		s, e := c.start, c.end()
		if s < first {
			left = chunk{start: s, n: first - s}
			s = first
		}
		if e > end {
			right = chunk{start: end, n: e - end}
			e = end
		}
		had += (e - s) << pageShift
		hi++
	}
	var put [3]chunk
	n := 0
	if left.n != 0 {
		put[n] = left
		n++
	}
	if v {
		put[n] = chunk{start: first, n: end - first}
		n++
		changed = (end-first)<<pageShift - had
		b.count += changed
	} else {
		changed = had
		b.count -= changed
	}
	if right.n != 0 {
		put[n] = right
		n++
	}
	b.replace(lo, hi, put[:n])
	return changed
}

// replace puts chunks in place of chunks[lo:hi] and joins full neighbours.
func (b *Bitfield) replace(lo, hi int, put []chunk) {
	if d := len(put) - (hi - lo); d > 0 {
		n := len(b.chunks)
		b.chunks = append(b.chunks, put[:d]...)
		copy(b.chunks[hi+d:], b.chunks[hi:n])
	} else if d < 0 {
		n := copy(b.chunks[hi+d:], b.chunks[hi:])
		clear(b.chunks[hi+d+n:])
		b.chunks = b.chunks[:hi+d+n]
	}
	copy(b.chunks[lo:], put)
	// Join from right to left around the new chunks.
	for i := min(lo+len(put), len(b.chunks)-1); i >= max(lo, 1); i-- {
		l, r := &b.chunks[i-1], &b.chunks[i]
		if l.w == nil && r.w == nil && l.end() == r.start {
			l.n += r.n
			copy(b.chunks[i:], b.chunks[i+1:])
			b.chunks[len(b.chunks)-1] = chunk{}
			b.chunks = b.chunks[:len(b.chunks)-1]
		}
	}
}

// setInPage sets or clears bits [from, to) of one page.
func (b *Bitfield) setInPage(page uint64, from, to uint, v bool) (changed uint64) {
	at := b.search(page)
	exists := at < len(b.chunks) && b.chunks[at].start <= page
	if !exists {
		if !v {
			return 0
		}
		if from == 0 && to == PageBits {
			return b.setPages(page, page+1, true)
		}
		c := chunk{start: page, n: 1, w: new(words)}
		c.pop = c.w.set(from, to)
		b.count += uint64(c.pop)
		b.replace(at, at, []chunk{c})
		return uint64(c.pop)
	}
	c := &b.chunks[at]
	if c.w == nil {
		if v {
			return 0
		}
		if from == 0 && to == PageBits {
			return b.setPages(page, page+1, false)
		}
		var put [3]chunk
		n := 0
		if c.start < page {
			put[n] = chunk{start: c.start, n: page - c.start}
			n++
		}
		m := chunk{start: page, n: 1, w: new(words), pop: PageBits}
		m.w.set(0, PageBits)
		m.pop -= m.w.clear(from, to)
		b.count -= uint64(to - from)
		put[n] = m
		n++
		if c.end() > page+1 {
			put[n] = chunk{start: page + 1, n: c.end() - page - 1}
			n++
		}
		b.replace(at, at+1, put[:n])
		return uint64(to - from)
	}
	if v {
		d := c.w.set(from, to)
		c.pop += d
		b.count += uint64(d)
		if c.pop == PageBits {
			b.replace(at, at+1, []chunk{{start: page, n: 1}})
		}
		return uint64(d)
	}
	d := c.w.clear(from, to)
	c.pop -= d
	b.count -= uint64(d)
	if c.pop == 0 {
		b.replace(at, at+1, nil)
	}
	return uint64(d)
}

// mask returns the bits of word k that lie in [from, to).
func mask(k, from, to uint) uint64 {
	m := ^uint64(0)
	if k == from>>6 {
		m &= ^uint64(0) << (from & 63)
	}
	if k == (to-1)>>6 {
		m &= ^uint64(0) >> (63 - (to-1)&63)
	}
	return m
}

func (w *words) set(from, to uint) (added uint32) {
	for k := from >> 6; k <= (to-1)>>6; k++ {
		m := mask(k, from, to)
		added += uint32(bits.OnesCount64(m &^ w[k]))
		w[k] |= m
	}
	return added
}

func (w *words) clear(from, to uint) (removed uint32) {
	for k := from >> 6; k <= (to-1)>>6; k++ {
		m := mask(k, from, to)
		removed += uint32(bits.OnesCount64(m & w[k]))
		w[k] &^= m
	}
	return removed
}

func (w *words) count(from, to uint) (n uint64) {
	for k := from >> 6; k <= (to-1)>>6; k++ {
		n += uint64(bits.OnesCount64(mask(k, from, to) & w[k]))
	}
	return n
}

// CountRange returns the number of members in [start, end).
func (b *Bitfield) CountRange(start, end uint64) (n uint64) {
	if end > Max {
		end = Max
	}
	if start >= end {
		return 0
	}
	for at := b.search(start >> pageShift); at < len(b.chunks); at++ {
		c := &b.chunks[at]
		s, e := max(start, c.start<<pageShift), min(end, c.end()<<pageShift)
		if s >= e {
			if c.start<<pageShift >= end {
				break
			}
			continue
		}
		if c.w == nil {
			n += e - s
		} else {
			n += c.w.count(uint(s&(PageBits-1)), uint((e-1)&(PageBits-1))+1)
		}
	}
	return n
}

// Clone returns an independent copy.
func (b *Bitfield) Clone() *Bitfield {
	c := &Bitfield{chunks: append([]chunk(nil), b.chunks...), count: b.count}
	for i := range c.chunks {
		if w := c.chunks[i].w; w != nil {
			cp := *w
			c.chunks[i].w = &cp
		}
	}
	return c
}

// Clear removes all members.
func (b *Bitfield) Clear() {
	clear(b.chunks)
	b.chunks, b.count = b.chunks[:0], 0
}

// Truncate removes all members from end on.
func (b *Bitfield) Truncate(end uint64) (removed uint64) {
	return b.SetRange(end, Max, false)
}
