package storage

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A page holds up to 64 slots under one database key: the nodes of a subtree,
// or consecutive blocks. What is stored is a page delta:
//
//	0x01 start count entries            slots [start, start+count) are set
//	0x02 set:u64 cleared:u64 entries    the slots of the masks are set, cleared
//
// Entries follow in slot order. A commit writes deltas as merge operands; when
// the database merges the last of them with the first, cleared slots vanish and
// what remains is the page.
//
//	node entry:   size:uvarint hash[32]
//	block entry:  length<<1:uvarint bytes                          inline
//	              length<<1|1:uvarint segment:uvarint offset:uvarint crc32c:u32
const (
	pageRun   = 0x01
	pageMasks = 0x02
)

// page is a parsed page delta. off[s] is where the entry of slot s starts in
// data, for s in set.
type page struct {
	set, clr uint64
	data     []byte
	off      [64]uint32
}

func has(mask uint64, slot uint) bool { return mask>>slot&1 != 0 }

// maskRange returns the mask of slots [from, to), to at most 64.
func maskRange(from, to uint) uint64 {
	if from >= to {
		return 0
	}
	return ^uint64(0) << from & (^uint64(0) >> (64 - to))
}

func appendPageHeader(b []byte, set, clr uint64) []byte {
	if clr == 0 && set != 0 {
		start := uint(bits.TrailingZeros64(set))
		n := uint(bits.OnesCount64(set))
		if set == maskRange(start, start+n) {
			return append(b, pageRun, byte(start), byte(n))
		}
	}
	b = append(b, pageMasks)
	b = binary.LittleEndian.AppendUint64(b, set)
	return binary.LittleEndian.AppendUint64(b, clr)
}

func pageHeaderLen(set, clr uint64) int {
	var b [17]byte
	return len(appendPageHeader(b[:0], set, clr))
}

func errPage(what string) error { return fmt.Errorf("%w: page: %s", ErrCorrupt, what) }

// parse reads a delta of a tree part or a block part. p keeps data.
func (p *page) parse(part byte, data []byte) error {
	if len(data) == 0 {
		return errPage("empty")
	}
	at := 0
	switch data[0] {
	case pageRun:
		if len(data) < 3 || uint(data[1])+uint(data[2]) > 64 || data[2] == 0 {
			return errPage("run")
		}
		p.set, p.clr = maskRange(uint(data[1]), uint(data[1])+uint(data[2])), 0
		at = 3
	case pageMasks:
		if len(data) < 17 {
			return errPage("masks")
		}
		p.set = binary.LittleEndian.Uint64(data[1:])
		p.clr = binary.LittleEndian.Uint64(data[9:])
		at = 17
	default:
		return errPage("kind")
	}
	if p.set&p.clr != 0 {
		return errPage("slot both set and cleared")
	}
	p.data = data
	for m := p.set; m != 0; m &= m - 1 {
		slot := bits.TrailingZeros64(m)
		p.off[slot] = uint32(at)
		// One-byte varints are the common case.
		if at >= len(data) {
			return errPage("short")
		}
		v, n := uint64(data[at]), 1
		if v >= 0x80 {
			if v, n = binary.Uvarint(data[at:]); n <= 0 {
				return errPage("number")
			}
		}
		at += n
		switch {
		case part == partTree:
			at += 32
		case v&1 == 0:
			if v>>1 > uint64(len(data)) {
				return errPage("length")
			}
			at += int(v >> 1)
		default:
			for range 2 {
				_, n := binary.Uvarint(data[min(at, len(data)):])
				if n <= 0 {
					return errPage("pointer")
				}
				at += n
			}
			at += 4
		}
		if at > len(data) {
			return errPage("short")
		}
	}
	if at != len(data) {
		return errPage("bytes left over")
	}
	return nil
}

// node decodes the entry of a set slot of a parsed tree page.
func (p *page) node(slot uint) (size uint64, hash []byte) {
	b := p.data[p.off[slot]:]
	size, n := binary.Uvarint(b)
	return size, b[n : n+32]
}

// pointer says where a large block is.
type pointer struct {
	seg    uint32
	crc    uint32
	off    int64
	length uint32
}

// end is the offset behind the block.
func (p pointer) end() int64 { return p.off + int64(p.length) }

// block decodes the entry of a set slot of a parsed block page: its bytes, or a
// pointer if large is true.
func (p *page) block(slot uint) (inline []byte, ptr pointer, large bool) {
	b := p.data[p.off[slot]:]
	v, n := binary.Uvarint(b)
	b = b[n:]
	if v&1 == 0 {
		return b[: v>>1 : v>>1], pointer{}, false
	}
	seg, n := binary.Uvarint(b)
	b = b[n:]
	off, n := binary.Uvarint(b)
	ptr = pointer{seg: uint32(seg), off: int64(off), length: uint32(v >> 1), crc: binary.LittleEndian.Uint32(b[n:])}
	return nil, ptr, true
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func inlineLen(n int) int { return uvarintLen(uint64(n)<<1) + n }

func appendInline(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))<<1), data...)
}

func (p pointer) encodedLen() int {
	return uvarintLen(uint64(p.length)<<1|1) + uvarintLen(uint64(p.seg)) + uvarintLen(uint64(p.off)) + 4
}

func (p pointer) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(p.length)<<1|1)
	b = binary.AppendUvarint(b, uint64(p.seg))
	b = binary.AppendUvarint(b, uint64(p.off))
	return binary.LittleEndian.AppendUint32(b, p.crc)
}
