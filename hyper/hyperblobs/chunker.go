package hyperblobs

import (
	"context"
	"fmt"
)

// Chunker cuts content where [Blobs.Write] cuts it, for those who keep their own
// list of where the chunks are. The zero value is at the start of the content.
type Chunker struct{ chunks int }

func (c *Chunker) cutter() *cutter {
	if c.chunks >= gearEntries {
		return rabinCutter
	}
	return gearCutter
}

// Need returns how many bytes Cut has to see unless the content ends before. It
// grows after some 20 GiB, from where on chunks are larger.
func (c *Chunker) Need() int { return c.cutter().max }

// Cut returns the length of the next chunk, which b begins with.
func (c *Chunker) Cut(b []byte) int {
	n := c.cutter().cut(b)
	c.chunks++
	return n
}

// PutBlocks appends blocks as one plain blob that is cut as they are, in a single
// atomic append. None may be empty. They may be reused afterwards.
func (b *Blobs) PutBlocks(ctx context.Context, blocks [][]byte) (ID, error) {
	id := ID{BlockLength: uint64(len(blocks))}
	for i, block := range blocks {
		if len(block) == 0 {
			return ID{}, fmt.Errorf("%w: block %d is empty", ErrInvalid, i)
		}
		id.ByteLength += uint64(len(block))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	id.BlockOffset, id.ByteOffset, err = b.appendLocked(ctx, blocks)
	return id, err
}
