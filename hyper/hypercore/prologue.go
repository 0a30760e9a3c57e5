package hypercore

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// CopyPrologue fills an empty log whose manifest fixes its first blocks with
// those of src. It is an error if src's first blocks are others, or not all held
// here.
func (c *Core) CopyPrologue(ctx context.Context, src *Core) error {
	if err := c.open(); err != nil {
		return err
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.mu.RLock()
	rules, length := l.rules, l.head.Length
	l.mu.RUnlock()
	if rules == nil || rules.Prologue() == nil {
		return fmt.Errorf("%w: the manifest has no prologue", ErrKeyMismatch)
	}
	p := rules.Prologue()
	if length > 0 {
		return fmt.Errorf("%w: the log has %d blocks already", ErrNotWritable, length)
	}
	blocks := make([][]byte, 0, p.Length)
	for i := range p.Length {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := src.rawLocal(i, nil)
		if err != nil {
			return fmt.Errorf("copy prologue: %w", err)
		}
		blocks = append(blocks, b)
	}
	old := l.state()
	h, nodes := grow(&old, blocks)
	if h.Hash() != p.Hash {
		return fmt.Errorf("%w: the first %d blocks are not those of the prologue", merkle.ErrProof, p.Length)
	}
	b := l.db.NewBatch()
	defer b.Close()
	b.PutBlocks(l.st, 0, blocks)
	b.PutNodes(l.st, nodes)
	b.SetHead(l.st, l.record(&h))
	if err := l.commit(b, l.durability()); err != nil {
		return err
	}
	l.grown(&h, l.durability())
	return nil
}
