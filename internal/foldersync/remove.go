package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/tradle/cloudpal/internal/filetree"
)

// remove removes what the tree does not have any more. leave says that it stays in the
// tree and is only not kept here.
func (w *writer) remove(path string, leave bool) error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.close() // what is removed may be what is open
	if _, known, err := w.f.idx.get(path); err != nil || !known {
		return err
	}
	if err := w.f.outdated(path); err != nil {
		return err
	}
	at, err := w.f.enterLocked(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w.missing(path, leave)
	}
	if err != nil {
		return err
	}
	defer at.close()
	local, err := w.f.localName(at.root, at.path, path)
	if err != nil {
		return err
	}
	r, _, err := w.f.check(at, path, local)
	if errors.Is(err, errLocal) {
		if _, err := at.root.Lstat(local); errors.Is(err, fs.ErrNotExist) {
			return w.missing(path, leave)
		}
	}
	if err != nil {
		return err
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

// missing is remove of what is not on disk. It was removed here too, or has another name by
// now, under which push looks for what the index knows of it.
func (w *writer) missing(path string, leave bool) error {
	if leave {
		return w.forget(path)
	}
	return fmt.Errorf("%w: %s is gone", errLocal, path)
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
