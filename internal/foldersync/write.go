package foldersync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

var (
	// errFull stops a pull until there is space.
	errFull = fault.New(fault.Full, "the disk is full").Hint("free some space: all goes on by itself")
	// errIndex is a failure to note what was done.
	errIndex = errors.New("write the index")
)

// files writes files and links on several goroutines.
func (p *puller) files(entries []filetree.Entry) error {
	work := make(chan []filetree.Entry)
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range min(p.f.opts.Workers, len(entries)) {
		wg.Go(func() {
			w := newWriter(p)
			w.ctx = ctx
			defer w.close()
			for some := range work {
				for _, e := range some {
					if ctx.Err() != nil {
						return
					}
					if err := p.outcome(e.Path, w.file(e)); err != nil {
						cancel(err)
						return
					}
				}
			}
		})
	}
feed:
	for len(entries) > 0 {
		n := portion(entries)
		select {
		case work <- entries[:n]:
		case <-ctx.Done():
			break feed
		}
		entries = entries[n:]
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// portion returns how many files from the front one worker writes in a row. Two that
// make files in one folder wait for each other, so small files of a folder go to one
// worker; files so large that this matters little do not.
func portion(entries []filetree.Entry) int {
	const maxFiles, maxBytes = 128, 4 << 20
	dir, _ := split(entries[0].Path)
	size := entries[0].Size
	for n := 1; n < min(len(entries), maxFiles); n++ {
		at, _ := split(entries[n].Path)
		if size += entries[n].Size; size > maxBytes || at != dir {
			return n
		}
	}
	return min(len(entries), maxFiles)
}

// writer changes the disk. It keeps the folder of the last change open.
type writer struct {
	f   *Folder
	ctx context.Context // of one pull
	at  *place
	buf []byte

	patience *patience // of the pull
}

func newWriter(p *puller) *writer { return &writer{f: p.f, ctx: p.ctx, patience: &p.patience} }

func (w *writer) close() {
	w.at.close()
	w.at = nil
}

// enter opens the folder of a path.
func (w *writer) enter(path string, make bool) (*place, error) {
	dir, _ := split(path)
	if w.at != nil && w.at.path == dir {
		return w.at, nil
	}
	w.close()
	at, err := w.f.enter(dir, make)
	if err != nil {
		return nil, err
	}
	w.at = at
	return at, nil
}

// dir makes a folder, or gives it its mode.
func (w *writer) dir(e filetree.Entry) error {
	at, err := w.enter(e.Path, true)
	if err != nil {
		return err
	}
	local, err := w.f.localName(at.root, at.path, e.Path)
	if err != nil {
		return err
	}
	mode := e.Mode.Perm() | 0o700 // we have to get in
	info, err := at.root.Lstat(local)
	if errors.Is(err, fs.ErrNotExist) {
		if err := w.f.makeDir(at.root, e.Path, local, mode, e.Version); err != nil {
			return explainFull(err)
		}
		if r, _, err := w.f.idx.get(e.Path); err != nil || r.version != e.Version {
			return errors.Join(err, errLocal) // somebody was faster
		}
		w.f.written(e)
		return nil
	}
	if err != nil {
		return err
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	r, known, err := w.f.idx.get(e.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if !known || r.kind == kindDir {
			return errLocal
		}
		// A file becomes a folder.
		if err := at.remove(local, &r); err != nil {
			return err
		}
		if err := w.forget(e.Path); err != nil {
			return err
		}
		w.f.mu.Unlock()
		err := w.f.makeDir(at.root, e.Path, local, mode, e.Version)
		w.f.mu.Lock()
		if err == nil {
			w.f.written(e)
		}
		return err
	}
	s, _ := statOf(info)
	if known && r.kind == kindDir && r.stat.mode != s.mode {
		return errLocal
	}
	if s.mode != mode {
		if err := at.root.Chmod(local, mode); err != nil {
			return err
		}
		if info, err = at.root.Lstat(local); err != nil {
			return err
		}
		s, _ = statOf(info)
	}
	n := record{path: e.Path, local: localOf(e.Path, local), kind: kindDir, version: e.Version, stat: stat{ino: s.ino, mode: s.mode}}
	if err := w.f.idx.apply(update{put: []record{n}}); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

// file writes a file or link.
func (w *writer) file(e filetree.Entry) error {
	f := w.f
	at, err := w.enter(e.Path, true)
	if err != nil {
		return explainFull(err)
	}
	local, err := f.localName(at.root, at.path, e.Path)
	if err != nil {
		return err
	}
	r, known, err := f.check(at.root, e.Path, local)
	if err != nil {
		return err
	}
	if known && r.version == e.Version {
		return nil
	}
	if known && sameContent(e, r) {
		return w.touch(at, local, e)
	}
	temporary := temporaryName()
	n, err := w.temporary(at, temporary, e)
	if err == nil {
		n.local = localOf(e.Path, local)
		err = w.install(at, temporary, local, n)
	}
	if err != nil {
		if removeErr := at.root.Remove(temporary); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
		return explainFull(err)
	}
	f.written(e)
	return nil
}

func (f *Folder) written(e filetree.Entry) {
	f.progress.update(func(s *Status) { s.Written++; s.WrittenBytes += e.Size })
	f.progress.event(Event{Kind: EventWritten, Path: e.Path, Size: e.Size})
}

// isFull tells whether there is no space, on the disk of the folder or on that of the
// tree.
func isFull(err error) bool {
	return errors.Is(err, errFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func explainFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

// temporary writes an entry under a temporary name and returns its record.
func (w *writer) temporary(at *place, name string, e filetree.Entry) (record, error) {
	n := record{path: e.Path, kind: e.Kind, version: e.Version, hash: e.Hash}
	if e.Kind == kindSymlink {
		n.hash = targetHash(e.Target)
		if err := at.root.Symlink(e.Target, name); err != nil {
			return n, err
		}
		if err := setLinkTime(at.root, name, e.Modified); err != nil {
			return n, err
		}
		info, err := at.root.Lstat(name)
		if err != nil {
			return n, err
		}
		n.stat, _ = statOf(info)
		return n, nil
	}
	if err := w.f.space(e.Size); err != nil {
		return n, err
	}
	w.f.progress.update(func(s *Status) { s.Current = e.Path })
	h, err := at.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return n, err
	}
	err = w.fill(h, e)
	if err == nil {
		err = h.Chmod(e.Mode.Perm())
	}
	if err == nil && syncEach {
		err = h.Sync()
	}
	if err == nil {
		err = at.root.Chtimes(name, time.Time{}, e.Modified)
	}
	if err == nil {
		var info fs.FileInfo
		if info, err = h.Stat(); err == nil {
			n.stat, _ = statOf(info)
		}
	}
	return n, errors.Join(err, h.Close())
}

// install gives a temporary file its name, if the disk is still what the index says.
func (w *writer) install(at *place, temporary, local string, n record) error {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	old, known, err := f.check(at.root, n.path, local)
	if err != nil {
		return err
	}
	switch {
	case !known:
		err = at.replace(temporary, local, nil)
	case old.kind == kindDir:
		if err = at.root.Remove(local); err == nil {
			err = at.replace(temporary, local, nil)
		}
	default:
		err = at.replace(temporary, local, &old)
	}
	if err != nil {
		return err
	}
	// Of the new times the system gave only that of the last change of status is right.
	info, err := at.root.Lstat(local)
	if err != nil {
		n.doubt = true
	} else {
		s, _ := statOf(info)
		n.stat.ctime = s.ctime
		n.doubt = n.kind == kindFile && n.stat != s
	}
	if n.doubt {
		f.dirty.add(n.path)
	}
	if n.local != "" {
		f.names.set(n.path, n.local)
	}
	if err := f.idx.apply(update{put: []record{n}}); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

// space tells whether there is room for a content.
func (f *Folder) space(size uint64) error {
	if f.opts.MinFree == 0 {
		return nil
	}
	free, err := freeBytes(f.root)
	if err != nil {
		return err
	}
	if free < size || free-size < f.opts.MinFree {
		return fmt.Errorf("%w: %d bytes are free, %d are to stay so, and %d are needed", errFull, free, f.opts.MinFree, size)
	}
	return nil
}
