package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// Seek finds the block that holds the byte at offset, counted without
// encryption padding, and the byte's place in it. The end of the log is found as
// the block one past the last. Tree nodes and the block that are not held are
// fetched from peers, so that the answer never rests on sizes that nothing
// proves.
//
// Errors: [ErrOutOfRange] beyond the end of a snapshot, of a branch, or of a log
// that this handle writes; other logs may still grow, so the call waits.
func (c *Core) Seek(ctx context.Context, offset uint64) (block, within uint64, err error) {
	if err := c.open(); err != nil {
		return 0, 0, err
	}
	var last uint64
	fetched := false
	for {
		h := c.view()
		pos, err := h.Seek(c.nodes(), offset, c.padding())
		switch {
		case errors.Is(err, merkle.ErrBeyondEnd):
			if c.pinned() || c.Writable() {
				return 0, 0, fmt.Errorf("%w: byte %d of %d", ErrOutOfRange, offset, c.ByteLength())
			}
			if err := c.waitGrowth(ctx, h.Length, h.Fork); err != nil {
				return 0, 0, err
			}
			continue
		case err != nil:
			return 0, 0, err
		case !pos.Exact:
			if err := c.log.repl.seek(ctx, c, offset, c.padding(), pos); err != nil {
				return 0, 0, fmt.Errorf("seek to byte %d: %w", offset, err)
			}
			continue
		}
		if pos.Block == h.Length || c.Has(pos.Block, pos.Block+1) || fetched && pos.Block == last {
			return pos.Block, pos.Offset, nil
		}
		// Holding the block proves every size on the way to it.
		if _, err := c.GetRaw(ctx, pos.Block); err != nil {
			return 0, 0, err
		}
		last, fetched = pos.Block, true
	}
}

// SeekLocal is Seek with what is held here: [ErrNotAvailable] if that is not
// enough.
func (c *Core) SeekLocal(offset uint64) (block, within uint64, err error) {
	h := c.view()
	pos, err := h.Seek(c.nodes(), offset, c.padding())
	switch {
	case errors.Is(err, merkle.ErrBeyondEnd):
		return 0, 0, fmt.Errorf("%w: byte %d of %d", ErrOutOfRange, offset, c.ByteLength())
	case err != nil:
		return 0, 0, err
	case !pos.Exact:
		return 0, 0, fmt.Errorf("%w: tree nodes for byte %d", ErrNotAvailable, offset)
	}
	return pos.Block, pos.Offset, nil
}

// ByteOffset returns how many bytes, without padding, lie before a block. It
// works with what is held here.
func (c *Core) ByteOffset(block uint64) (uint64, error) {
	h := c.view()
	if block > h.Length {
		return 0, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, block, h.Length)
	}
	n, err := h.Tree.ByteOffset(c.nodes(), 2*block)
	if errors.Is(err, merkle.ErrMissingNode) {
		return 0, fmt.Errorf("%w: %w", ErrNotAvailable, err)
	}
	return n - min(n, c.padding()*block), err
}

// nodes returns where this handle's tree nodes are stored.
func (c *Core) nodes() merkle.Reader {
	if c.branch != nil {
		return c.branch
	}
	if c.draft != nil {
		return c.draft
	}
	return c.log
}

// waitGrowth waits until the log has another length or fork.
func (c *Core) waitGrowth(ctx context.Context, length, fork uint64) error {
	changed := make(chan struct{}, 1)
	cancel := c.Events(func(e Event) {
		if e.Type == EventAppend || e.Type == EventTruncate {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	defer cancel()
	for {
		if h := c.log.state(); h.Length != length || h.Fork != fork {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			return ErrClosed
		}
	}
}
