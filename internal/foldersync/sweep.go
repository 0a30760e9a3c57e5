package foldersync

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

// leftover notes a temporary file that was found.
func (f *Folder) leftover(local string) {
	f.leftMu.Lock()
	defer f.leftMu.Unlock()
	if !f.swept {
		f.left = append(f.left, local)
	}
}

// sweep removes temporary files that were left by a crash, and those that could not be
// removed. Of those found only the ones of the first scan are: later ones may be in use.
func (f *Folder) sweep(ctx context.Context) {
	f.leftMu.Lock()
	left := f.left
	f.left, f.swept = nil, true
	f.leftMu.Unlock()
	for _, local := range left {
		var err error
		if isKept(path.Base(local)) {
			err = f.recover(ctx, local)
		} else {
			err = os.Remove(f.join(local))
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			f.progress.solved(partPush, local)
			continue
		}
		f.progress.problem(partPush, local, err)
		f.leftMu.Lock()
		f.left = append(f.left, local)
		f.leftMu.Unlock()
	}
}

// recover looks at a file that was being replaced in a crash. If the tree knows its
// content it goes; if not it is a change that was not committed, and gets a name
// that is seen.
func (f *Folder) recover(ctx context.Context, local string) error {
	name := f.join(local)
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		hash, err := f.hashFile(ctx, local)
		if err != nil {
			return err
		}
		_, known, err := f.tree.Find(ctx, hash, uint64(info.Size()))
		if err != nil {
			return err
		}
		if known {
			return os.Remove(name)
		}
	}
	dir, base := split(local)
	to := join(dir, recoveredName(base))
	if err := os.Rename(name, f.join(to)); err != nil {
		return err
	}
	f.dirty.add(f.names.path(to))
	return nil
}

// hashFile returns the hash of what a file on disk holds.
func (f *Folder) hashFile(ctx context.Context, local string) (hash hypercrypto.Hash, err error) {
	h, err := os.OpenFile(f.join(local), os.O_RDONLY|openFlags, 0)
	if err != nil {
		return hash, err
	}
	defer h.Close()
	sum := digest.New()
	if _, err := io.Copy(sum, &contextReader{ctx: ctx, r: h}); err != nil {
		return hash, err
	}
	return sum.Sum(), nil
}
