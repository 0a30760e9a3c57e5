package foldersync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/tradle/cloudpal/internal/digest"
	"github.com/tradle/cloudpal/internal/filetree"
)

// prepareFile reads a file, and stores its content if the tree does not have it.
func (f *Folder) prepareFile(ctx context.Context, c *pending, now filetree.Entry, exists bool) error {
	h, err := os.OpenFile(f.join(c.edit.local), os.O_RDONLY|openFlags, 0)
	if err != nil {
		return fileError{err}
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return fileError{err}
	}
	before, _ := statOf(info)
	if !info.Mode().IsRegular() {
		return fileError{fs.ErrNotExist} // it became something else
	}
	if f.watch.Load() != nil && before.size > busySize {
		if quiet := time.Since(info.ModTime()); quiet >= 0 && quiet < busyTime {
			f.dirty.after(c.edit.path, busyTime-quiet)
			return fileError{errBusy}
		}
	}
	if f.postpone(c.edit, before.size) {
		return fileError{errBusy}
	}
	if c.edit.known && c.edit.old.unsure && before.size < c.edit.old.stat.size {
		cut, err := f.cutOff(ctx, h, c.edit, before, now, exists)
		if err != nil {
			return err
		}
		if cut {
			return fileError{errLocal}
		}
		if _, err := h.Seek(0, io.SeekStart); err != nil {
			return fileError{err}
		}
	}
	wait := f.young(before, time.Now())
	c.after.doubt = wait > 0
	if before.size <= smallSize {
		err = f.readSmall(h, c, before.size)
	} else {
		err = f.readLarge(ctx, h, c, before, now, exists)
	}
	if err != nil {
		return err
	}
	info, err = h.Stat()
	if err != nil {
		return fileError{err}
	}
	after, _ := statOf(info)
	if after != before || c.after.stat.size != after.size {
		return fileError{errChanging}
	}
	c.after.stat = after
	c.edit.stat = after
	c.change.Item.Mode = f.mode(kindFile, after.mode, now, exists)
	c.change.Item.Modified = info.ModTime()
	c.change.Item.Size, c.change.Item.Hash = after.size, c.after.hash
	if c.after.doubt {
		f.dirty.after(c.edit.path, wait)
	}
	return nil
}

// File systems note the time of a modification in steps. A file that is read less than
// such a step after it was modified can change again and look the same; so it is read
// once more later.
const (
	settleFine   = 20 * time.Millisecond
	settleCoarse = 2 * time.Second // for times without a fraction of a second
)

func (f *Folder) settle(s stat) time.Duration {
	if s.ctime%int64(time.Second) == 0 && s.mtime%int64(time.Second) == 0 {
		return settleCoarse
	}
	return f.step
}

// maxSkew is how far the clock of a file system on another machine may be ahead.
const maxSkew = time.Minute

// young returns how long a file may change and look the same, 0 for one that cannot. What
// was changed later than now was so before the clock was set back: a change shows.
func (f *Folder) young(s stat, now time.Time) time.Duration {
	changed := s.ctime
	if changed == 0 {
		changed = s.mtime // the system does not tell
	}
	wait := f.settle(s) - time.Duration(now.UnixNano()-changed)
	if wait > maxSkew {
		return 0
	}
	return max(0, wait)
}

// readSmall reads a content into memory.
func (f *Folder) readSmall(h *os.File, c *pending, size uint64) error {
	data := make([]byte, size)
	n, err := io.ReadFull(h, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fileError{errChanging}
	}
	if err != nil {
		return fileError{err}
	}
	c.after.stat.size, c.after.hash = uint64(n), digest.Sum(data)
	c.small = data
	return nil
}

// readLarge has the tree store a content, unless it may know it: then it is read and
// hashed first.
func (f *Folder) readLarge(ctx context.Context, h *os.File, c *pending, before stat, now filetree.Entry, exists bool) error {
	if f.idx.hasSize(before.size) || exists && now.Kind == kindFile && now.Size == before.size {
		if err := f.hashLarge(ctx, h, c); err != nil {
			return err
		}
		if exists && now.Hash == c.after.hash && len(now.Content) > 0 {
			c.change.Item.Content = now.Content
			return nil
		}
		ref, ok, err := f.tree.Find(ctx, c.after.hash, c.after.stat.size)
		if err != nil {
			return err
		}
		if ok {
			c.change.Item.Content = ref
			return nil
		}
		if _, err := h.Seek(0, io.SeekStart); err != nil {
			return fileError{err}
		}
	}
	var prev []byte
	if exists && now.Kind == kindFile {
		prev = now.Content
	}
	r := &diskReader{r: h}
	stored, err := f.tree.Store(ctx, r, prev)
	if r.err != nil {
		return fileError{r.err}
	}
	if err != nil {
		return err
	}
	c.change.Item.Content = bytes.Clone(stored.Ref)
	c.after.stat.size, c.after.hash = stored.Size, stored.Hash
	return nil
}

func (f *Folder) hashLarge(ctx context.Context, h *os.File, c *pending) error {
	sum := digest.New()
	n, err := io.Copy(sum, &contextReader{ctx: ctx, r: h})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fileError{err}
	}
	c.after.stat.size = uint64(n)
	c.after.hash = sum.Sum()
	return nil
}

// diskReader remembers what failed on disk.
type diskReader struct {
	r   io.Reader
	err error
}

func (d *diskReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = err
	}
	return n, err
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
