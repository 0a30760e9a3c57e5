package storage

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tradle/cloudpal/hyper/internal/bitfield"
)

// commitState is what Commit works out for one core before it writes anything.
type commitState struct {
	contig  uint64             // contiguous length afterwards
	top     uint64             // end of the held blocks before
	bitOps  []bitOp            // changes to the bits at and above the contiguous length
	newBits *bitfield.Bitfield // replaces the core's; nil: bitOps are applied to them
	freed   []deadRange
	large   uint64 // bytes in segments afterwards
	touched []pageKey
	moved   *pointer // the put is a move of the block from here
}

type bitOp struct {
	span
	set bool
}

// deadRange is a part of a segment whose blocks are not referred to any more.
type deadRange struct {
	seg uint32
	off int64
	n   int64
}

func (s *commitState) reset() {
	*s = commitState{bitOps: s.bitOps[:0], freed: s.freed[:0], touched: s.touched[:0]}
}

// plan reads what has to be known of the old state. The core's writeMu must be
// held; nothing is changed.
func (o *coreOps) plan() error {
	c := o.core
	if !o.sorted {
		o.sortBlocks()
	}
	o.contig, o.top, o.large = c.head.Contiguous, c.head.Contiguous, c.head.large
	if last, ok := c.bits.PrevSet(MaxIndex); ok {
		o.top = max(o.top, last+1)
	}
	if err := o.planFreed(); err != nil {
		return err
	}
	for i := range o.blocks {
		if o.blocks[i].large {
			o.large += uint64(len(o.blocks[i].data))
		}
	}
	o.planBits()
	return nil
}

// sortBlocks orders the puts by index; of two puts of a block the later stays.
func (o *coreOps) sortBlocks() {
	slices.SortStableFunc(o.blocks, func(a, b blockPut) int {
		switch {
		case a.index < b.index:
			return -1
		case a.index > b.index:
			return 1
		}
		return 0
	})
	kept := o.blocks[:0]
	for i, p := range o.blocks {
		if i+1 < len(o.blocks) && o.blocks[i+1].index == p.index {
			continue
		}
		kept = append(kept, p)
	}
	clear(o.blocks[len(kept):])
	o.blocks = kept
	o.sorted = true
}

// planFreed collects the parts of segments that this batch frees.
func (o *coreOps) planFreed() error {
	c := o.core
	if c.head.large == 0 {
		if o.moved != nil {
			return errMoved
		}
		return nil
	}
	for _, cut := range o.cuts {
		if err := o.freeSpan(cut.start, min(cut.end, o.top)); err != nil {
			return err
		}
	}
	if len(o.cuts) > 1 {
		// Cuts may overlap.
		slices.SortFunc(o.freed, compareDead)
		o.freed = slices.Compact(o.freed)
	}
	v := c.live()
	for i := range o.blocks {
		p := &o.blocks[i]
		if !c.held(p.index) || o.isCut(p.index) {
			if o.moved != nil {
				return errMoved
			}
			continue
		}
		_, ptr, large, err := v.lookup(p.index, nil)
		if o.moved != nil && (err != nil || !large || ptr != *o.moved) {
			return errMoved
		}
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if large {
			o.freed = append(o.freed, ptr.extent())
		}
	}
	for _, f := range o.freed {
		o.large -= min(o.large, uint64(f.n-recordHeaderLen))
	}
	return nil
}

// held tells whether block i is held. c.mu or c.writeMu must be held.
func (c *Core) held(i uint64) bool { return i < c.head.Contiguous || c.bits.Get(i) }

func (o *coreOps) isCut(i uint64) bool {
	for _, cut := range o.cuts {
		if i >= cut.start && i < cut.end {
			return true
		}
	}
	return false
}

func (p pointer) extent() deadRange {
	return deadRange{seg: p.seg, off: p.off - recordHeaderLen, n: recordHeaderLen + int64(p.length)}
}

func compareDead(a, b deadRange) int {
	switch {
	case a.seg != b.seg:
		return int(int64(a.seg) - int64(b.seg))
	case a.off < b.off:
		return -1
	case a.off > b.off:
		return 1
	}
	return 0
}

// joinDead sorts ranges and joins adjacent ones.
func joinDead(d []deadRange) []deadRange {
	slices.SortFunc(d, compareDead)
	out := d[:0]
	for _, r := range d {
		if n := len(out); n > 0 && out[n-1].seg == r.seg && out[n-1].off+out[n-1].n == r.off {
			out[n-1].n += r.n
		} else {
			out = append(out, r)
		}
	}
	return out
}

func (o *coreOps) freeSpan(start, end uint64) error {
	if start >= end {
		return nil
	}
	return o.core.eachPointer(o.core.db.pebble, start, end, func(_ uint64, p pointer) error {
		o.freed = append(o.freed, p.extent())
		return nil
	})
}

// eachPointer calls fn for the large blocks of [start, end).
func (c *Core) eachPointer(r pebble.Reader, start, end uint64, fn func(i uint64, p pointer) error) error {
	return c.eachBlockPage(r, start, end, func(first uint64, p *page) error {
		for slot := range uint(blockSlots) {
			i := first + uint64(slot)
			if i < start || i >= end || !has(p.set, slot) {
				continue
			}
			if _, ptr, large := p.block(slot); large {
				if err := fn(i, ptr); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// eachBlockPage calls fn for the block pages with blocks of [start, end).
func (c *Core) eachBlockPage(r pebble.Reader, start, end uint64, fn func(first uint64, p *page) error) error {
	lower := appendPageKey(nil, c.id, partBlock, start>>blockShift)
	upper := appendPageKey(nil, c.id, partBlock, (end-1)>>blockShift+1)
	var p page
	return c.db.scan(r, lower, upper, func(key, value []byte) error {
		if len(key) != len(lower) {
			return errPage("key")
		}
		if err := p.parse(partBlock, value); err != nil {
			return err
		}
		return fn(uint48(key[len(key)-6:])<<blockShift, &p)
	})
}

// planBits works out the contiguous length and the changes to the bits above.
func (o *coreOps) planBits() {
	c := o.core
	if len(o.cuts) > 0 {
		o.newBits = c.bits.Clone()
	}
	op := func(start, end uint64, set bool) {
		if start >= end {
			return
		}
		o.bitOps = append(o.bitOps, bitOp{span{start, end}, set})
		if o.newBits != nil {
			o.newBits.SetRange(start, end, set)
		}
	}
	for _, cut := range o.cuts {
		if cut.start < o.contig {
			// What is held behind the gap was implied so far.
			op(cut.end, o.contig, true)
			o.contig = cut.start
		}
		op(cut.start, min(cut.end, o.top), false)
	}
	for at := 0; at < len(o.blocks); {
		s := o.blocks[at].index
		e := s
		for at < len(o.blocks) && o.blocks[at].index == e {
			e++
			at++
		}
		if s <= o.contig {
			o.contig = max(o.contig, e)
		} else {
			op(s, e, true)
		}
	}
	if o.newBits != nil {
		o.contig = o.newBits.NextUnset(o.contig)
		return
	}
	for {
		n := c.bits.NextUnset(o.contig)
		for _, b := range o.bitOps {
			if b.start <= n && n < b.end {
				n = b.end
			}
		}
		if n == o.contig {
			return
		}
		o.contig = n
	}
}

// publish makes the core's memory agree with what was written. The core's
// writeMu must be held.
func (o *coreOps) publish() {
	c := o.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.head != nil {
		c.head = *o.head
	}
	c.head.Contiguous, c.head.large = o.contig, o.large
	if o.newBits != nil {
		c.bits = *o.newBits
	} else {
		for _, b := range o.bitOps {
			c.bits.SetRange(b.start, b.end, b.set)
		}
	}
	if c.bits.Count() > 0 {
		c.bits.SetRange(0, o.contig, false)
	}
	c.deleted = c.deleted || o.deleted
}
