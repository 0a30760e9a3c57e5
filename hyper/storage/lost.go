package storage

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Lost returns the blocks that the disk lost in spite of having confirmed them,
// at this or an earlier opening of the store, and that were not put again since.
// Those of a log that is written here exist nowhere else, unless peers have
// them.
func (c *Core) Lost() ([]uint64, error) {
	v := c.live()
	b, err := v.copyOf(appendCoreKey(nil, c.id, partLost))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	blocks, err := decodeLost(b)
	return slices.DeleteFunc(blocks, func(i uint64) bool { return c.Has(i, i+1) }), err
}

// noteLost adds blocks to the record of those that the disk lost.
func (b *Batch) noteLost(c *Core, blocks []uint64) error {
	old, err := c.Lost()
	if err != nil {
		return err
	}
	all := append(old, blocks...)
	slices.Sort(all)
	b.ops(c)
	b.records = append(b.records, record{
		key: appendCoreKey(nil, c.id, partLost), value: appendLost(nil, slices.Compact(all)),
	})
	return nil
}

// encoding: the first block, then the differences
func appendLost(b []byte, blocks []uint64) []byte {
	last := uint64(0)
	for _, i := range blocks {
		b = binary.AppendUvarint(b, i-last)
		last = i
	}
	return b
}

func decodeLost(b []byte) (blocks []uint64, err error) {
	i := uint64(0)
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || d > MaxIndex-i {
			return nil, fmt.Errorf("%w: record of lost blocks", ErrCorrupt)
		}
		b = b[n:]
		i += d
		blocks = append(blocks, i)
	}
	return blocks, nil
}
