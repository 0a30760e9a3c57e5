package foldersync

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/internal/filetree"
)

// touch gives a file with the right content its mode and time.
func (w *writer) touch(at *place, local string, e filetree.Entry) error {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known, err := f.check(at, e.Path, local)
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
	if r.version != e.Version {
		r.version, r.own = e.Version, false
	}
	switch r.kind {
	case kindFile:
	case kindSymlink:
		return f.touchLink(at, local, r, e)
	default:
		return r, nil
	}
	if mode := e.Mode.Perm(); mode != r.stat.mode {
		if err := f.chmod(at.root, local, mode); err != nil {
			return r, err
		}
	}
	if e.Modified.UnixNano() != r.stat.mtime {
		if err := at.setTime(local, e.Modified); err != nil {
			return r, err
		}
	}
	_, s, err := at.lstat(local)
	if err != nil {
		return r, err
	}
	r.doubt = s.size != r.stat.size || s.ino != r.stat.ino || s.mtime != e.Modified.UnixNano()
	if r.doubt {
		f.dirty.add(e.Path)
	}
	r.stat.mtime, r.stat.ctime, r.stat.mode = s.mtime, s.ctime, s.mode
	return r, nil
}

// touchLink is touchLocked of a link, which has no mode.
func (f *Folder) touchLink(at *place, local string, r record, e filetree.Entry) (record, error) {
	if e.Modified.UnixNano() != r.stat.mtime {
		if err := setLinkTime(at.root, local, e.Modified); err != nil {
			return r, err
		}
	}
	info, err := at.root.Lstat(local)
	if err != nil {
		return r, err
	}
	s, _ := statOf(info)
	if r.doubt = s.size != r.stat.size || s.ino != r.stat.ino; r.doubt {
		f.dirty.add(e.Path)
	}
	r.stat.mtime, r.stat.ctime = s.mtime, s.ctime
	return r, nil
}

// adopt notes that the tree has what is on disk. Mode and time are those of the tree.
func (f *Folder) adopt(ctx context.Context, c *pending, now filetree.Entry) error {
	f.pushed.tree.RLock()
	defer f.pushed.tree.RUnlock()
	if e, ok, err := f.tree.Lookup(ctx, c.edit.path); err != nil {
		return err
	} else if !ok || e.Version != now.Version {
		f.dirty.add(c.edit.path)
		return nil
	}
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
		if err := f.chmod(at.root, local, now.Mode.Perm()|0o700); err != nil {
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
	return f.notePushed(update{put: []record{n}})
}
