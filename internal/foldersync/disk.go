package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// errLocal says that the disk is not what the index says: a change that is to be
// committed first.
var errLocal = errors.New("changed on disk")

// place is an open folder below the root, and the way there.
type place struct {
	path string // in the tree
	root *os.Root
	h    *os.File // the same
}

func (p *place) close() {
	if p != nil && p.root != nil {
		_ = p.root.Close() // nothing is written to a folder's handle
		_ = p.h.Close()
	}
}

// enter opens a folder, given by its path in the tree, and makes it if need be. No part of
// the way may be a link or on another disk: paths come from others.
func (f *Folder) enter(path string, make bool) (*place, error) {
	at, device, err := f.openHome()
	if err != nil {
		return nil, err
	}
	walked := ""
	for name := range strings.SplitSeq(path, "/") {
		if path == "" {
			break
		}
		dir := walked
		walked = join(walked, name)
		next, err := f.enterOne(at, dir, walked, device, make)
		_ = at.Close() // nothing is written to a folder's handle
		if err != nil {
			return nil, err
		}
		at = next
	}
	h, err := at.Open(".")
	if err != nil {
		return nil, errors.Join(err, at.Close())
	}
	return &place{path: path, root: at, h: h}, nil
}

func (f *Folder) enterOne(at *os.Root, dir, path string, device uint64, make bool) (*os.Root, error) {
	local, err := f.localName(at, dir, path)
	if err != nil {
		return nil, err
	}
	info, err := at.Lstat(local)
	if errors.Is(err, fs.ErrNotExist) && make {
		if err := f.makeDir(at, path, local, 0o755, filetree.Version{}); err != nil {
			return nil, err
		}
		info, err = at.Lstat(local)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is no folder", errLocal, path)
	}
	if _, on := statOf(info); on != device {
		return nil, fault.New(fault.Unsafe, "another disk is mounted at %s", path)
	}
	return at.OpenRoot(local)
}

// lstat looks at something on disk. Behind a link there is nothing, and what is on another disk
// cannot be told.
func (f *Folder) lstat(local string) (fs.FileInfo, error) {
	device := f.home()
	for i := range len(local) {
		if local[i] != '/' {
			continue
		}
		info, err := os.Lstat(f.join(local[:i]))
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, &fs.PathError{Op: "lstat", Path: f.join(local), Err: errNotDir}
		}
		if _, on := statOf(info); on != device {
			return nil, fault.New(fault.Unsafe, "another disk is mounted at %s", local[:i])
		}
	}
	return os.Lstat(f.join(local))
}

// isGone tells whether an error says that there is nothing.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) }

// makeDir makes a folder and notes it. One with no version is made for what is in it:
// the tree may tell later what it is.
func (f *Folder) makeDir(at *os.Root, path, local string, mode fs.FileMode, version filetree.Version) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.outdated(path); err != nil {
		return err
	}
	if _, known, err := f.idx.get(path); err != nil {
		return err
	} else if known {
		if _, err := at.Lstat(local); err == nil {
			return nil // another worker was first
		}
		f.dirty.after(path, quietTime)
		return fmt.Errorf("%w: %s is gone", errLocal, path)
	}
	if err := at.Mkdir(local, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return errLocal
		}
		return err
	}
	if err := f.chmod(at, local, mode); err != nil {
		return err
	}
	info, err := at.Lstat(local)
	if err != nil {
		return err
	}
	s, _ := statOf(info)
	r := record{path: path, local: localOf(path, local), kind: kindDir, version: version, stat: stat{ino: s.ino, mode: s.mode}}
	if r.local != "" {
		f.names.set(path, r.local)
	}
	return f.idx.apply(update{put: []record{r}})
}

// check compares what is on disk with the index. It returns errLocal if a change is to
// be committed first, errOutdated if one was; f.mu is held.
func (f *Folder) check(at *place, path, local string) (r record, known bool, err error) {
	if err := f.outdated(path); err != nil {
		return r, false, err
	}
	r, known, err = f.idx.get(path)
	if err != nil {
		return r, known, err
	}
	kind, s, err := at.lstat(local)
	if errors.Is(err, fs.ErrNotExist) {
		if known {
			return r, known, errLocal
		}
		return r, known, nil
	}
	if err != nil {
		return r, known, err
	}
	if !known || !r.same(kind, s) {
		return r, known, errLocal
	}
	return r, known, nil
}
