package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/tradle/cloudpal/internal/filetree"
)

// batch is files of one folder that are written under temporary names and get their
// own together: the index notes them at once. A crash in between leaves files that
// the index does not know; they are compared with the tree, which has them.
type batch struct {
	p *puller

	mu    sync.Mutex // guards what follows
	at    *place     // stays open while there are files
	files []written
	late  *time.Timer // the files do not wait for one that does not come
	err   error       // that ends the pull
}

// written is a file under a temporary name.
type written struct {
	temporary, local string
	entry            filetree.Entry
	record           record
}

// Files get their names when there are so many, or when the first waited so long.
const (
	maxBatch  = 128
	batchTime = 50 * time.Millisecond
)

// add takes a file that was written in a folder.
func (b *batch) add(at *place, w written) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = at
	b.files = append(b.files, w)
	if len(b.files) >= maxBatch {
		b.flushLocked()
	} else if len(b.files) == 1 {
		if b.late == nil {
			b.late = time.AfterFunc(batchTime, func() { _ = b.flush() }) // add or the last flush tells
		} else {
			b.late.Reset(batchTime)
		}
	}
	return b.err
}

// flush gives all files their names. Its error ends the pull.
func (b *batch) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushLocked()
	return b.err
}

func (b *batch) flushLocked() {
	if len(b.files) == 0 {
		return
	}
	b.late.Stop()
	errs := make([]error, len(b.files))
	b.install(errs)
	for i := range b.files {
		w := &b.files[i]
		if errs[i] == nil {
			b.p.f.written(w.entry)
		} else if err := b.p.f.discard(b.at, w.temporary); err != nil {
			errs[i] = errors.Join(errs[i], err)
		}
		if err := b.p.outcome(w.entry.Path, explainFull(errs[i])); err != nil && b.err == nil {
			b.err = err
		}
	}
	clear(b.files)
	b.files = b.files[:0]
}

// install gives files their names, if the disk is still what the index says.
func (b *batch) install(errs []error) {
	f := b.p.f
	f.mu.Lock()
	defer f.mu.Unlock()
	u := update{put: make([]record, 0, len(b.files))}
	for i := range b.files {
		w := &b.files[i]
		if errs[i] = f.installLocked(b.at, w); errs[i] == nil {
			u.put = append(u.put, w.record)
		}
	}
	if err := f.idx.apply(u); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = fmt.Errorf("%w: %w", errIndex, err)
			}
		}
	}
}

// installLocked gives a file its name and completes its record; f.mu is held.
func (f *Folder) installLocked(at *place, w *written) error {
	n := &w.record
	old, known, err := f.idx.get(n.path)
	if err == nil && known {
		old, known, err = f.check(at, n.path, w.local)
	}
	if err == nil {
		err = f.outdatedEntry(w.entry)
	}
	if err != nil {
		return err
	}
	switch {
	case !known:
		err = at.replace(w.temporary, w.local, nil)
	case old.kind == kindDir:
		if err = at.root.Remove(w.local); err == nil {
			err = at.replace(w.temporary, w.local, nil)
		}
	default:
		err = at.replace(w.temporary, w.local, &old)
	}
	if err != nil {
		return err
	}
	// Of the new times the system gave only that of the last change of status is right.
	_, s, err := at.lstat(w.local)
	if err != nil {
		n.doubt = true
	} else {
		n.stat.ctime = s.ctime
		n.doubt = n.kind == kindFile && n.stat != s
	}
	if n.doubt {
		f.dirty.add(n.path)
	}
	if n.local != "" {
		f.names.set(n.path, n.local)
	}
	return nil
}

// discard removes a temporary file, if it is there; if the disk refuses, the next sweep does.
func (f *Folder) discard(at *place, name string) error {
	err := at.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		f.leftMu.Lock()
		f.left = append(f.left, join(f.names.local(at.path), name))
		f.leftMu.Unlock()
	}
	return err
}
