package foldersync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"

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
				if err := w.files(some); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	ahead := orders{f: p.f, ctx: ctx, entries: entries}
	defer ahead.stop()
feed:
	for len(entries) > 0 {
		n := portion(entries)
		ahead.upTo(len(ahead.entries) - len(entries))
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

// files writes files and links of one folder.
func (w *writer) files(entries []filetree.Entry) error {
	for _, e := range entries {
		if w.ctx.Err() != nil {
			break
		}
		if w.p.interrupted() {
			w.p.leave(e.Path)
			continue
		}
		added, err := w.file(e)
		if err == nil && added {
			continue
		}
		if err := w.p.outcome(e.Path, err); err != nil {
			return errors.Join(err, w.batch.flush())
		}
	}
	return w.batch.flush()
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
	p     *puller
	f     *Folder
	ctx   context.Context // of one pull
	at    *place
	batch batch // of files in at

	patience *patience // of the pull
}

func newWriter(p *puller) *writer {
	return &writer{p: p, f: p.f, ctx: p.ctx, batch: batch{p: p}, patience: &p.patience}
}

// close leaves the folder. There must be nothing in the batch.
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
	if err := w.f.outdated(e.Path); err != nil {
		return err
	}
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
		if err := w.f.chmod(at.root, local, mode); err != nil {
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

// file writes a file or link. It is done when the batch is flushed, if it was added to
// that.
func (w *writer) file(e filetree.Entry) (added bool, err error) {
	f := w.f
	at, err := w.enter(e.Path, true)
	if err != nil {
		return false, explainFull(err)
	}
	local, err := f.localName(at.root, at.path, e.Path)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	r, known, err := f.check(at, e.Path, local)
	if err == nil {
		err = f.outdatedEntry(e)
	}
	f.mu.Unlock()
	if err != nil {
		return false, err
	}
	if known && r.version == e.Version {
		return false, nil
	}
	if known && sameContent(e, r) {
		return false, w.touch(at, local, e)
	}
	temporary := temporaryName()
	n, err := w.temporary(at, temporary, e)
	if err != nil {
		return false, explainFull(errors.Join(err, f.discard(at, temporary)))
	}
	n.local = localOf(e.Path, local)
	err = w.batch.add(at, written{temporary: temporary, local: local, entry: e, record: n})
	if err == nil && f.traits.Load().fold {
		err = w.batch.flush() // the name of the next file may depend on this one's
	}
	return true, err
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
		_, s, err := at.lstat(name)
		n.stat = s
		return n, err
	}
	if err := w.f.space(e.Size); err != nil {
		return n, err
	}
	w.f.progress.update(func(s *Status) { s.Current = e.Path })
	mode := e.Mode.Perm()
	h, err := at.create(name, mode)
	if err != nil {
		return n, err
	}
	err = w.fill(h, e)
	if err == nil && syncEach {
		err = h.Sync()
	}
	if err == nil {
		err = at.setTime(name, e.Modified)
	}
	if err == nil {
		_, n.stat, err = at.lstat(name)
	}
	if err == nil && n.stat.mode != mode && !w.f.traits.Load().fixed { // the system takes bits away
		n.stat.mode = mode
		err = h.Chmod(mode)
	}
	return n, errors.Join(err, h.Close())
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
