package bitfield

import "math/bits"

// AppendWords appends n 32-bit words of the set from bit start on, bit i of the
// set at 1<<(i%32). start must be a multiple of 32.
func (b *Bitfield) AppendWords(dst []uint32, start uint64, n int) []uint32 {
	for n > 0 {
		off := int(start&(PageBits-1)) / 32
		take := min(n, PageBits/32-off)
		w := b.page(start >> pageShift)
		for k := off; k < off+take; k++ {
			if w == nil {
				dst = append(dst, 0)
			} else {
				dst = append(dst, uint32(w[k/2]>>(32*(k&1))))
			}
		}
		start += uint64(take) * 32
		n -= take
	}
	return dst
}

// SetWords replaces the bits from start on by those of the words; start must be
// a multiple of 32. Only pages that end up neither full nor empty take memory.
func (b *Bitfield) SetWords(start uint64, ws []uint32) {
	for len(ws) > 0 && start < Max {
		off := int(start&(PageBits-1)) / 32
		take := min(len(ws), PageBits/32-off)
		page := start >> pageShift
		// Runs first, so that uniform pages never allocate.
		if w := ws[0]; w == 0 || w == ^uint32(0) {
			same := 1
			for same < take && ws[same] == w {
				same++
			}
			if same == take {
				b.SetRange(start, start+uint64(take)*32, w != 0)
				start += uint64(take) * 32
				ws = ws[take:]
				continue
			}
		}
		b.setPageWords(page, off, ws[:take])
		start += uint64(take) * 32
		ws = ws[take:]
	}
}

func (b *Bitfield) setPageWords(page uint64, off int, ws []uint32) {
	var buf words
	if old := b.page(page); old != nil {
		buf = *old
	}
	for i, v := range ws {
		k := off + i
		sh := 32 * (k & 1)
		buf[k/2] = buf[k/2]&^(0xffffffff<<sh) | uint64(v)<<sh
	}
	var pop uint32
	for _, v := range buf {
		pop += uint32(bits.OnesCount64(v))
	}
	b.setPages(page, page+1, false)
	switch pop {
	case 0:
	case PageBits:
		b.setPages(page, page+1, true)
	default:
		c := chunk{start: page, n: 1, w: &buf, pop: pop}
		b.count += uint64(pop)
		at := b.search(page)
		b.replace(at, at, []chunk{c})
	}
}
