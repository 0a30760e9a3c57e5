package storage

import (
	"encoding/binary"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"
)

// encode writes the changes to one core into the database batch.
func (o *coreOps) encode(pb *pebble.Batch) error {
	c := o.core
	if o.deleted {
		prefix := appendCoreKey(nil, c.id, 0)[:corePrefixLen]
		if c.isMain() {
			if err := pb.Delete(directoryKey(c.dk), nil); err != nil {
				return err
			}
		}
		if err := c.db.encodeNextID(pb); err != nil {
			return err
		}
		return pb.DeleteRange(prefix, prefixEnd(prefix), nil)
	}
	for _, cut := range o.cuts {
		if err := o.cutBlocks(pb, cut); err != nil {
			return err
		}
	}
	for _, n := range o.nodeCut {
		if err := o.cutNodes(pb, n); err != nil {
			return err
		}
	}
	for _, op := range o.bitOps {
		if err := o.encodeBits(pb, op); err != nil {
			return err
		}
	}
	if from, to := c.head.Contiguous/bitPageBits, o.contig/bitPageBits; from < to && (c.bits.Count() > 0 || len(o.bitOps) > 0) {
		lo, hi := appendPageKey(nil, c.id, partBits, from), appendPageKey(nil, c.id, partBits, to)
		if err := pb.DeleteRange(lo, hi, nil); err != nil {
			return err
		}
	}
	if err := o.encodeBlocks(pb); err != nil {
		return err
	}
	if err := o.encodeNodes(pb); err != nil {
		return err
	}
	if o.head == nil && !o.created && o.contig == c.head.Contiguous && o.large == c.head.large {
		return nil
	}
	h := c.head
	if o.head != nil {
		h.Head = o.head.Head
	}
	h.Contiguous, h.large = o.contig, o.large
	if o.head != nil {
		*o.head = h
	}
	var key [8]byte
	var val [160]byte
	return pb.Set(appendCoreKey(key[:0], c.id, partHead), h.append(val[:0]), nil)
}

func (o *coreOps) touch(k pageKey) { o.touched = append(o.touched, k) }

// page writes a delta: as an operand, or, if it sets every slot, as the page.
func putPage(pb *pebble.Batch, key []byte, size int, full bool, fill func(b []byte) []byte) error {
	var op *pebble.DeferredBatchOp
	if full {
		op = pb.SetDeferred(len(key), size)
	} else {
		op = pb.MergeDeferred(len(key), size)
	}
	copy(op.Key, key)
	if out := fill(op.Value[:0]); len(out) != size {
		return errPage("encoded size")
	}
	return op.Finish()
}

func (o *coreOps) encodeBlocks(pb *pebble.Batch) error {
	var keyBuf [16]byte
	for at := 0; at < len(o.blocks); {
		pg := o.blocks[at].index >> blockShift
		end, size := at, 0
		var set uint64
		for end < len(o.blocks) && o.blocks[end].index>>blockShift == pg {
			b := &o.blocks[end]
			set |= 1 << (b.index & (blockSlots - 1))
			if b.large {
				size += b.ptr.encodedLen()
			} else {
				size += inlineLen(len(b.data))
			}
			end++
		}
		puts := o.blocks[at:end]
		at = end
		key := appendPageKey(keyBuf[:0], o.core.id, partBlock, pg)
		size += pageHeaderLen(set, 0)
		err := putPage(pb, key, size, set == maskRange(0, blockSlots), func(b []byte) []byte {
			b = appendPageHeader(b, set, 0)
			for i := range puts {
				if puts[i].large {
					b = puts[i].ptr.append(b)
				} else {
					b = appendInline(b, puts[i].data)
				}
			}
			return b
		})
		if err != nil {
			return err
		}
		o.touch(pageKey{core: o.core.id, part: partBlock, page: pg})
	}
	return nil
}

func (o *coreOps) encodeNodes(pb *pebble.Batch) error {
	var keyBuf [16]byte
	for _, p := range o.nodes {
		if p.set == 0 {
			continue
		}
		size := pageHeaderLen(p.set, 0) + 32*bits.OnesCount64(p.set)
		for m := p.set; m != 0; m &= m - 1 {
			size += uvarintLen(p.nodes[bits.TrailingZeros64(m)].size)
		}
		key := appendTreeKey(keyBuf[:0], o.core.id, p.layer, p.page)
		err := putPage(pb, key, size, p.set == maskRange(0, 63), func(b []byte) []byte {
			b = appendPageHeader(b, p.set, 0)
			for m := p.set; m != 0; m &= m - 1 {
				e := &p.nodes[bits.TrailingZeros64(m)]
				b = binary.AppendUvarint(b, e.size)
				b = append(b, e.hash[:]...)
			}
			return b
		})
		if err != nil {
			return err
		}
		o.touch(pageKey{core: o.core.id, part: partTree, layer: p.layer, page: p.page})
	}
	return nil
}

// cutBlocks removes the blocks of a span: slots of the first and last page,
// whole pages between.
func (o *coreOps) cutBlocks(pb *pebble.Batch, cut span) error {
	end := min(cut.end, o.top)
	if cut.start >= end {
		return nil
	}
	clearSlots := func(pg uint64, from, to uint) error {
		var buf [32]byte
		return pb.Merge(appendPageKey(nil, o.core.id, partBlock, pg), appendPageHeader(buf[:0], 0, maskRange(from, to)), nil)
	}
	first, last := cut.start>>blockShift, end>>blockShift
	from, to := uint(cut.start&(blockSlots-1)), uint(end&(blockSlots-1))
	if first == last {
		return clearSlots(first, from, to)
	}
	if from != 0 {
		if err := clearSlots(first, from, blockSlots); err != nil {
			return err
		}
		first++
	}
	if to != 0 {
		if err := clearSlots(last, 0, to); err != nil {
			return err
		}
	}
	if first == last {
		return nil
	}
	return pb.DeleteRange(appendPageKey(nil, o.core.id, partBlock, first), appendPageKey(nil, o.core.id, partBlock, last), nil)
}

// cutNodes removes the nodes over blocks from length on, layer by layer.
func (o *coreOps) cutNodes(pb *pebble.Batch, length uint64) error {
	for layer := range byte(maxLayer) {
		// The page whose subtree the cut falls into, and all behind it.
		pg := length >> (blockShift + layerDepth*uint(layer))
		if m := nodesBeyond(layer, pg, length); m != 1<<63-1 {
			var buf [32]byte
			if err := pb.Merge(appendTreeKey(nil, o.core.id, layer, pg), appendPageHeader(buf[:0], 0, m), nil); err != nil {
				return err
			}
			pg++
		}
		end := prefixEnd(appendTreeKey(nil, o.core.id, layer, 0)[:corePrefixLen+2])
		if err := pb.DeleteRange(appendTreeKey(nil, o.core.id, layer, pg), end, nil); err != nil {
			return err
		}
	}
	return nil
}

// encodeBits writes a run of bits: an operand for each page, except that whole
// pages are cleared by a range deletion.
func (o *coreOps) encodeBits(pb *pebble.Batch, op bitOp) error {
	var keyBuf [16]byte
	var valBuf [16]byte
	id := o.core.id
	for s := op.start; s < op.end; {
		pg := s / bitPageBits
		e := min(op.end, (pg+1)*bitPageBits)
		if whole := op.end / bitPageBits; !op.set && s%bitPageBits == 0 && whole > pg {
			if err := pb.DeleteRange(appendPageKey(nil, id, partBits, pg), appendPageKey(nil, id, partBits, whole), nil); err != nil {
				return err
			}
			s = whole * bitPageBits
			continue
		}
		v := appendBitRun(append(valBuf[:0], bitsRuns), uint(s%bitPageBits), uint(e-pg*bitPageBits), op.set)
		if err := pb.Merge(appendPageKey(keyBuf[:0], id, partBits, pg), v, nil); err != nil {
			return err
		}
		s = e
	}
	return nil
}
