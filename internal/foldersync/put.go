package foldersync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// smallSize is the size of the largest contents that are stored together with others.
const smallSize = 128 << 10

// readAhead is how many files are read before the first of them is committed.
const readAhead = 128

// flushTime is how long a change that was read waits for others.
const flushTime = 500 * time.Millisecond

// errChanging says that a file changed while it was read.
var errChanging = fault.New(fault.Conflict, "the file keeps changing").Hint("it is tried again when it is quiet")

// puts commits what is new or changed, in order. Files are read on several goroutines.
func (p *pusher) puts(edits []edit) error {
	ctx, cancel := context.WithCancel(p.ctx)
	type job struct {
		edit edit
		done chan struct{}
		c    *pending
		err  error
	}
	work := make(chan *job)
	ordered := make(chan *job, readAhead)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(work)
		defer close(ordered)
		for _, e := range edits {
			if e.kind == 0 {
				continue
			}
			j := &job{edit: e, done: make(chan struct{})}
			select {
			case ordered <- j:
			case <-ctx.Done():
				return
			}
			select {
			case work <- j:
			case <-ctx.Done():
				return
			}
		}
	})
	for range p.f.opts.Workers {
		wg.Go(func() {
			for j := range work {
				j.c, j.err = p.f.prepare(ctx, j.edit)
				close(j.done)
			}
		})
	}
	last := time.Now()
	for j := range ordered {
		select {
		case <-j.done:
		default:
			// Nothing is ready: what there is need not wait for it.
			if time.Since(last) > flushTime {
				if err := p.flush(); err != nil {
					return err
				}
				last = time.Now()
			}
			select {
			case <-j.done:
			case <-ctx.Done():
				return context.Cause(p.ctx)
			}
		}
		switch {
		case j.err != nil && isFile(j.err):
			p.f.unreadable(j.edit, j.err)
		case j.err != nil:
			return j.err
		case j.c != nil:
			if err := p.add(*j.c); err != nil {
				return err
			}
		}
	}
	if err := context.Cause(p.ctx); err != nil {
		return err
	}
	return p.flush()
}

// fileError is a failure that concerns one file on disk, not the tree.
type fileError struct{ error }

func (e fileError) Unwrap() error { return e.error }

func isFile(err error) bool {
	var e fileError
	return errors.As(err, &e)
}

// unreadable notes that a file could not be read, and tries it again later.
func (f *Folder) unreadable(e edit, err error) {
	if errors.Is(err, errBusy) {
		return
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) || errors.Is(err, errLocal) {
		f.dirty.add(e.path)
		return
	}
	if errors.Is(err, errChanging) {
		f.dirty.after(e.path, changingRetry)
	} else {
		f.dirty.after(e.path, problemRetry)
	}
	f.progress.problem(partPush, e.path, err)
}

// Times after which is tried again what failed.
const (
	changingRetry = time.Second
	problemRetry  = 30 * time.Second
)

// Large files are read when they are quiet for longer: they are written in several
// steps, and reading them in vain costs more.
const (
	busySize = 8 << 20
	busyTime = time.Second
)

var errBusy = errors.New("it is being written")

// prepare makes an edit a change. It returns nil if there is nothing to commit.
func (f *Folder) prepare(ctx context.Context, e edit) (*pending, error) {
	now, exists, err := f.tree.Lookup(ctx, e.path)
	if err != nil {
		return nil, err
	}
	if e.known && e.old.kind != e.kind {
		e.known, e.old = false, record{} // the deletion is committed
		if _, ok, err := f.idx.get(e.path); err != nil || ok {
			f.dirty.add(e.path)
			return nil, err
		}
	}
	c := &pending{edit: e, change: filetree.Change{Action: filetree.Put, Path: e.path, Base: e.old.version}}
	c.change.Item = filetree.Item{Kind: e.kind, Mode: e.stat.mode}
	c.after = &record{path: e.path, local: localOf(e.path, e.local), kind: e.kind, stat: e.stat}
	switch e.kind {
	case kindDir:
		err = f.prepareDir(c, now, exists)
	case kindSymlink:
		err = f.prepareSymlink(c)
	default:
		f.progress.update(func(s *Status) { s.Current = e.path })
		err = f.prepareFile(ctx, c, now, exists)
	}
	if err != nil {
		return nil, err
	}
	if e.known && e.kind != kindDir && e.old.hash == c.after.hash && e.old.stat.mode == e.stat.mode && (e.old.stat.mtime == e.stat.mtime || e.kind == kindSymlink) {
		return nil, f.refresh(c)
	}
	if exists && (!e.known || now.Version != e.old.version) && f.equal(now, c) {
		return nil, f.adopt(c, now)
	}
	if c.after.local != "" {
		f.names.set(e.path, c.after.local)
	}
	return c, nil
}

// equal tells whether the tree has what is on disk, but for the metadata if the path
// is new here.
func (f *Folder) equal(now filetree.Entry, c *pending) bool {
	if now.Kind != c.edit.kind {
		return false
	}
	if c.edit.known && now.Kind != kindSymlink && (now.Mode.Perm() != c.edit.stat.mode ||
		now.Kind == kindFile && now.Modified.UnixNano() != c.edit.stat.mtime) {
		return false
	}
	switch now.Kind {
	case kindFile:
		return now.Size == c.after.stat.size && now.Hash == c.after.hash
	case kindSymlink:
		return targetHash(now.Target) == c.after.hash
	}
	return true
}

// refresh notes that only the system's view of a file changed.
func (f *Folder) refresh(c *pending) error {
	c.after.version = c.edit.old.version
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok, err := f.idx.get(c.edit.path); err != nil || !ok || r.version != c.edit.old.version {
		return err
	}
	f.progress.solved(partPush, c.edit.path)
	return f.idx.apply(update{put: []record{*c.after}})
}

func (f *Folder) prepareDir(c *pending, now filetree.Entry, exists bool) error {
	c.after.stat = stat{ino: c.edit.stat.ino, mode: c.edit.stat.mode}
	return nil
}

func (f *Folder) prepareSymlink(c *pending) error {
	target, err := os.Readlink(f.join(c.edit.local))
	if err != nil {
		return fileError{err}
	}
	c.change.Item.Target = target
	c.change.Item.Modified = time.Unix(0, c.edit.stat.mtime)
	c.after.hash = targetHash(target)
	return nil
}

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
	c.after.doubt = f.young(before, time.Now())
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
	c.change.Item.Mode = after.mode
	c.change.Item.Modified = info.ModTime()
	c.change.Item.Size, c.change.Item.Hash = after.size, c.after.hash
	if c.after.doubt {
		f.dirty.after(c.edit.path, f.settle(after))
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

func (f *Folder) young(s stat, now time.Time) bool {
	age := now.UnixNano() - max(s.mtime, s.ctime)
	return age < int64(f.settle(s))
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
	c.after.stat.size, c.after.hash = uint64(n), hypercrypto.Sum(data)
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
	sum := newHash()
	n, err := io.Copy(sum, &contextReader{ctx: ctx, r: h})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fileError{err}
	}
	c.after.stat.size = uint64(n)
	sum.Sum(c.after.hash[:0])
	return nil
}

func newHash() hash.Hash {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic(fmt.Sprintf("BLAKE2b without a key: %v", err))
	}
	return h
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
