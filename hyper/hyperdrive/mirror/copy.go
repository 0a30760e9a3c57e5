package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// Copy makes a drive like a state of another. Metadata is copied too. Contents
// that are not held are fetched from peers.
func Copy(ctx context.Context, from *hyperdrive.View, to *hyperdrive.Drive, opts *Options) (*Result, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if !to.Writable() {
		return nil, hyperdrive.ErrReadOnly
	}
	src, err := from.Snapshot()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := to.Snapshot()
	if err != nil {
		return nil, err
	}
	defer dst.Close()
	t := &tracker{opts: o}
	c := &copier{tracker: t, ctx: ctx, src: src, dst: dst, drive: to, out: to.Batch()}
	defer c.out.Close()
	for _, prefix := range o.Prefixes {
		if err := merge(t.driveNodes(ctx, src, prefix), t.driveNodes(ctx, dst, prefix), c.visit); err != nil {
			return nil, fmt.Errorf("copy drive: %w", err)
		}
	}
	if !o.DryRun {
		if err := c.out.Flush(ctx); err != nil {
			return nil, fmt.Errorf("copy drive: %w", err)
		}
	}
	return &t.result, nil
}

type copier struct {
	*tracker
	ctx      context.Context // of one call of Copy
	src, dst *hyperdrive.View
	drive    *hyperdrive.Drive // that dst is of
	out      *hyperdrive.Batch
}

func (c *copier) visit(src, dst *node) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	if src == nil {
		if c.opts.NoPrune {
			return nil
		}
		c.op(Op{Kind: Remove, Path: dst.path, BytesRemoved: dst.size})
		if c.opts.DryRun {
			return nil
		}
		return c.committed(dst.path, c.out.Remove(dst.entry))
	}
	if c.opts.Filter != nil && !c.opts.Filter(src.path) {
		return nil
	}
	c.result.Files++
	defer c.looked(src.size)
	content, err := c.sameContent(src, dst)
	if err != nil {
		return err
	}
	switch {
	case content && src.executable == dst.executable && c.sameMetadata(src, dst):
		c.op(Op{Kind: Equal, Path: src.path})
		return nil
	case content:
		c.op(Op{Kind: Change, Path: src.path})
	default:
		c.op(changeOf(src, dst))
	}
	if c.opts.DryRun {
		return nil
	}
	return c.committed(src.path, c.write(src, dst, content))
}

func (c *copier) sameMetadata(src, dst *node) bool {
	return hyperdrive.SameMetadata(c.adapted(src.entry), c.adapted(dst.entry))
}

// adapted drops what the destination does not store.
func (c *copier) adapted(e *hyperdrive.Entry) *hyperdrive.Entry {
	if c.drive.StoresTimes() {
		return e
	}
	return e.WithoutMeta()
}

// sameContent tells whether two entries hold the same: the same link, or the
// same bytes.
func (c *copier) sameContent(src, dst *node) (bool, error) {
	switch {
	case dst == nil:
		return false, nil
	case src.isLink() || dst.isLink():
		return src.link == dst.link, nil
	case src.size != dst.size:
		return false, nil
	case !c.opts.Content && sameStat(src, dst):
		return true, nil
	}
	a, err := c.src.OpenEntry(c.ctx, src.entry)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := c.dst.OpenEntry(c.ctx, dst.entry)
	if err != nil {
		return false, err
	}
	defer b.Close()
	return sameBytes(a, b)
}

// write stores one entry.
func (c *copier) write(src, dst *node, content bool) error {
	entry := c.adapted(src.entry)
	opts := &hyperdrive.PutOptions{Executable: src.executable, Metadata: entry.Metadata}
	if c.drive.StoresTimes() {
		opts.ModTime = src.entry.ModTime()
	}
	switch {
	case src.isLink():
		return c.out.Symlink(src.path, src.link, opts)
	case content:
		e := *entry
		e.Blob = dst.entry.Blob
		return c.out.PutEntry(&e)
	case src.entry.Blob == nil:
		return c.out.PutEntry(entry)
	case src.size <= hyperblobs.SmallSize:
		data, err := c.src.Content(c.ctx, src.entry)
		if err != nil {
			return err
		}
		c.copying(len(data))
		return c.out.PutOwned(c.ctx, src.path, data, opts)
	}
	r, err := c.src.OpenEntry(c.ctx, src.entry)
	if err != nil {
		return err
	}
	defer r.Close()
	return c.out.PutFrom(c.ctx, src.path, io.TeeReader(r, countWriter(c.copying)), opts)
}

func (c *copier) committed(path string, err error) error {
	if errors.Is(err, hyperdrive.ErrPath) {
		c.problem(path, fmt.Errorf("%w: %w", ErrName, err))
		return nil
	}
	if err != nil || c.out.Len() < c.opts.BatchEntries {
		return err
	}
	return c.out.Flush(c.ctx)
}
