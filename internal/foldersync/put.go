package foldersync

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

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
	if isGone(err) || errors.Is(err, errLocal) {
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
	c.change.Item = filetree.Item{Kind: e.kind, Mode: f.mode(e.kind, e.stat.mode, now, exists)}
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
	if e.known && f.onlySeen(c) {
		return nil, f.refresh(c)
	}
	if exists && (!e.known || now.Version != e.old.version) && f.equal(now, c) {
		return nil, f.adopt(ctx, c, now)
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
	if c.edit.known && now.Kind != kindSymlink && (now.Mode.Perm() != c.change.Item.Mode ||
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

// onlySeen tells whether only the system's view of something that is known changed.
func (f *Folder) onlySeen(c *pending) bool {
	e, fixed := &c.edit, f.traits.Load().fixed
	switch {
	case e.kind == kindDir:
		return fixed
	case e.old.stat.mode != e.stat.mode && !fixed:
		return false
	}
	return e.old.hash == c.after.hash && e.old.stat.mtime == e.stat.mtime
}

// refresh notes that only the system's view of a file changed.
func (f *Folder) refresh(c *pending) error {
	c.after.version, c.after.own = c.edit.old.version, c.edit.old.own
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
