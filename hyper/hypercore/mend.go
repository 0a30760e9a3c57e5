package hypercore

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Mend stores the content of a block again, in place of bytes that [Core.Audit]
// found damaged. It reports false, and changes nothing, if the content is not the
// one that the tree knows. On an encrypted log only blocks of the present fork can
// be mended.
func (c *Core) Mend(ctx context.Context, index uint64, content []byte) (bool, error) {
	if err := c.open(); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	if err := l.usable(); err != nil {
		return false, err
	}
	h := l.state()
	if index >= h.Length {
		return false, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, index, h.Length)
	}
	stored := content
	if enc := c.encryption(); enc != nil {
		var err error
		if stored, err = seal(enc, index, h.Fork, content); err != nil {
			return false, err
		}
	}
	leaf, ok, err := l.Node(2 * index)
	if err != nil || !ok || merkle.Leaf(index, stored) != leaf {
		return false, err
	}
	b := l.db.NewBatch()
	defer b.Close()
	// The old bytes go: what is held is not stored a second time.
	b.ClearBlocks(l.st, index, index+1)
	b.PutBlock(l.st, index, stored)
	if err := l.commit(b, storage.Durable); err != nil {
		return false, err
	}
	return true, nil
}
