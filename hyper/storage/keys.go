package storage

import (
	"encoding/binary"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Key space. The first byte is the table; numbers in keys are big endian, so
// that keys sort by number.
const (
	tabMeta      = 0x01 // name                 -> value of the store itself
	tabDirectory = 0x02 // discovery key        -> core id
	tabAlias     = 0x03 // namespace, name      -> discovery key
	tabUser      = 0x04 // name                 -> store user data
	tabSegment   = 0x05 // segment              -> segment record
	tabTail      = 0x06 // segment, offset      -> blocks written there since the segment was last synced
	tabFree      = 0x07 // segment, offset      -> length of a dead range not yet reclaimed
	tabCore      = 0x10 // core id, part, ...   -> parts of one core
)

// Parts of a core.
const (
	partHead   = 0x01 // head record
	partAuth   = 0x02 // auth record
	partInfo   = 0x03 // discovery key; branches: parent
	partUser   = 0x04 // name -> core user data
	partBranch = 0x05 // name -> branch record
	partBits   = 0x06 // page -> held blocks above the contiguous length
	partTree   = 0x07 // layer, page -> nodes
	partBlock  = 0x08 // page -> blocks
	partLost   = 0x09 // blocks that the disk lost
)

// coreID names a core inside one store. Ids are never reused.
type coreID uint32

const corePrefixLen = 5

func appendCoreKey(b []byte, id coreID, part byte) []byte {
	b = append(b, tabCore)
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	return append(b, part)
}

func appendPageKey(b []byte, id coreID, part byte, page uint64) []byte {
	b = appendCoreKey(b, id, part)
	return appendUint48(b, page)
}

func appendTreeKey(b []byte, id coreID, layer byte, page uint64) []byte {
	b = append(appendCoreKey(b, id, partTree), layer)
	return appendUint48(b, page)
}

func appendUint48(b []byte, n uint64) []byte {
	return append(b, byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func uint48(b []byte) uint64 {
	_ = b[5]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}

func directoryKey(dk hypercrypto.DiscoveryKey) []byte {
	return append([]byte{tabDirectory}, dk[:]...)
}

func appendSegmentKey(b []byte, table byte, seg uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, table), seg)
}

func appendSegmentOffsetKey(b []byte, table byte, seg uint32, off int64) []byte {
	return appendUint48(appendSegmentKey(b, table, seg), uint64(off))
}

// prefixEnd returns the smallest key above all keys that start with prefix.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// Tree pages. A node of depth d lies in layer d/layerDepth; a page is one
// subtree of that many levels, and the slot is the node's in-order number
// inside it: 0..62.
const layerDepth = 6

func treeSlot(index uint64) (layer byte, page uint64, slot uint) {
	// depth = number of trailing one bits
	for {
		if index&63 != 63 {
			return layer, index >> 6, uint(index & 63)
		}
		index = (index+1)>>6 - 1
		layer++
	}
}

// maxLayer is one more than the highest layer of a tree of MaxIndex blocks.
const maxLayer = 9

// Block pages.
const (
	blockShift = 5
	blockSlots = 1 << blockShift
)
