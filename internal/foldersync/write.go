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

// remove removes what the tree does not have any more. leave says that it stays in the
// tree and is only not kept here.
func (w *writer) remove(path string, leave bool) error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.close() // what is removed may be what is open
	at, err := w.f.enterLocked(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w.forget(path)
	}
	if err != nil {
		return err
	}
	defer at.close()
	local, err := w.f.localName(at.root, at.path, path)
	if err != nil {
		return err
	}
	r, known, err := w.f.check(at.root, path, local)
	switch {
	case errors.Is(err, errLocal) && known:
		if _, statErr := at.root.Lstat(local); errors.Is(statErr, fs.ErrNotExist) {
			return w.forget(path) // both removed it
		}
		return err
	case err != nil:
		return err
	case !known:
		return nil
	}
	if leave {
		// After a crash in between it must not seem to be deleted here.
		if err := w.forget(path); err != nil {
			return err
		}
	}
	err = at.remove(local, &r)
	if leave && err != nil && !errors.Is(err, fs.ErrNotExist) && r.kind != kindDir {
		return errors.Join(err, w.f.idx.apply(update{put: []record{r}}))
	}
	if r.kind == kindDir && (errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist)) {
		return w.keepDir(r)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	w.f.progress.update(func(s *Status) { s.Removed++ })
	w.f.progress.event(Event{Kind: EventRemoved, Path: path})
	if err := w.forget(path); err != nil {
		return err
	}
	return w.removeImplied(path)
}

func (w *writer) forget(path string) error {
	w.f.names.set(path, "")
	if err := w.f.idx.apply(update{delete: []string{path}}); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

// keepDir leaves a folder that holds something that is not in the tree. It is not new
// because of that.
func (w *writer) keepDir(r record) error {
	if r.version == (filetree.Version{}) {
		return nil
	}
	for c, err := range w.f.idx.records(r.path) {
		if err != nil {
			return err
		}
		if c.path != r.path {
			return fmt.Errorf("%w: %s is not empty", errLocal, r.path)
		}
	}
	r.version = filetree.Version{}
	if err := w.f.idx.apply(update{put: []record{r}}); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

// removeImplied removes the folders above a path that were made for what is in them,
// if there is nothing any more.
func (w *writer) removeImplied(path string) error {
	for {
		path, _ = split(path)
		if path == "" {
			return nil
		}
		r, known, err := w.f.idx.get(path)
		if err != nil || !known || r.version != (filetree.Version{}) || r.kind != kindDir {
			return err
		}
		at, err := w.f.enterLocked(path)
		if err != nil {
			return nil // it is not there, or not ours
		}
		local, err := w.f.localName(at.root, at.path, path)
		if err == nil {
			err = at.remove(local, &r)
		}
		at.close()
		if err != nil {
			return nil // not empty
		}
		if err := w.forget(path); err != nil {
			return err
		}
	}
}

// enterLocked opens the folder of a path; f.mu is held.
func (f *Folder) enterLocked(path string) (*place, error) {
	dir, _ := split(path)
	return f.enter(dir, false)
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

// touch gives a file with the right content its mode and time.
func (w *writer) touch(at *place, local string, e filetree.Entry) error {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known, err := f.check(at.root, e.Path, local)
	if err != nil || !known {
		return errors.Join(err, errIfNot(known))
	}
	n, err := f.touchLocked(at, local, r, e)
	if err != nil {
		return err
	}
	if err := f.idx.apply(update{put: []record{n}}); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	f.written(filetree.Entry{Path: e.Path})
	return nil
}

func errIfNot(known bool) error {
	if !known {
		return errLocal
	}
	return nil
}

// touchLocked sets mode and time and returns the record that is right then; f.mu is held.
func (f *Folder) touchLocked(at *place, local string, r record, e filetree.Entry) (record, error) {
	r.version = e.Version
	if r.kind != kindFile {
		return r, nil
	}
	if mode := e.Mode.Perm(); mode != r.stat.mode {
		if err := at.root.Chmod(local, mode); err != nil {
			return r, err
		}
	}
	if e.Modified.UnixNano() != r.stat.mtime {
		if err := at.root.Chtimes(local, time.Time{}, e.Modified); err != nil {
			return r, err
		}
	}
	info, err := at.root.Lstat(local)
	if err != nil {
		return r, err
	}
	s, _ := statOf(info)
	r.doubt = s.size != r.stat.size || s.ino != r.stat.ino || s.mtime != e.Modified.UnixNano()
	if r.doubt {
		f.dirty.add(e.Path)
	}
	r.stat.mtime, r.stat.ctime, r.stat.mode = s.mtime, s.ctime, s.mode
	return r, nil
}

// adopt notes that the tree has what is on disk. Mode and time are those of the tree.
func (f *Folder) adopt(c *pending, now filetree.Entry) error {
	at, err := f.enterLocked(c.edit.path)
	if err != nil {
		return fileError{err}
	}
	defer at.close()
	_, local := split(c.edit.local)
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known, err := f.idx.get(c.edit.path)
	if err != nil {
		return err
	}
	info, err := at.root.Lstat(local)
	if err != nil {
		return fileError{err}
	}
	s, _ := statOf(info)
	n := *c.after
	if n.kind == kindDir {
		s = stat{ino: s.ino, mode: s.mode}
	}
	if known != c.edit.known || known && r.version != c.edit.old.version || kindOf(info.Mode()) != n.kind || s != n.stat {
		f.dirty.add(c.edit.path)
		return nil
	}
	switch {
	case n.kind == kindDir && !known && s.mode != now.Mode.Perm()|0o700:
		if err := at.root.Chmod(local, now.Mode.Perm()|0o700); err != nil {
			return fileError{err}
		}
		if info, err = at.root.Lstat(local); err != nil {
			return fileError{err}
		}
		s, _ := statOf(info)
		n.stat.mode = s.mode
	default:
		if n, err = f.touchLocked(at, local, n, now); err != nil {
			return fileError{err}
		}
	}
	n.version = now.Version
	f.progress.solved(partPush, c.edit.path)
	return f.idx.apply(update{put: []record{n}})
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
