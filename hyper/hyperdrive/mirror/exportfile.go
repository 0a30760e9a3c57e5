package mirror

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// apply writes the changes that were found, on several goroutines, while what
// is not held comes from peers.
func (e *exporter) apply() error {
	changes := e.changes
	e.changes = nil
	for i := range changes {
		e.op(changes[i].op)
	}
	if e.opts.DryRun || len(changes) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(e.ctx)
	entries := make([]*hyperdrive.Entry, 0, len(changes))
	for _, c := range changes {
		if !c.src.isLink() && !c.touch {
			entries = append(entries, c.src.entry)
		}
	}
	var ahead, workers sync.WaitGroup
	ahead.Go(func() {
		// Only a head start: what fails here fails for the file that needs it.
		_ = e.view.DownloadEntries(ctx, entries)
	})
	work := make(chan []change)
	for range e.opts.Workers {
		workers.Go(func() {
			w := &exportWorker{e: e, ctx: ctx}
			defer w.close()
			for some := range work {
				w.writeAll(some)
			}
		})
	}
	for len(changes) > 0 && ctx.Err() == nil {
		n := portion(changes)
		work <- changes[:n]
		changes = changes[n:]
	}
	close(work)
	workers.Wait()
	cancel()
	ahead.Wait()
	return context.Cause(e.ctx)
}

// portion returns how many changes from the front one worker makes in a row. Two
// that make files in one folder wait for each other, so small files of a folder
// go to one worker; files so large that this matters little do not.
func portion(changes []change) int {
	const maxChanges, maxBytes = 256, 4 << 20
	dir, size := path.Dir(changes[0].src.path), changes[0].src.size
	for n := 1; n < min(len(changes), maxChanges); n++ {
		src := changes[n].src
		if size += src.size; size > maxBytes || path.Dir(src.path) != dir {
			return n
		}
	}
	return min(len(changes), maxChanges)
}

// exportWorker writes files. It keeps the folder of the last one open.
type exportWorker struct {
	e   *exporter
	ctx context.Context
	dir string
	at  *os.Root // nil: none open
}

func (w *exportWorker) close() {
	if w.at != nil {
		w.at.Close()
		w.at = nil
	}
}

// enter opens the folder of a path, making it if needed. No part of the way may
// be a link: what was there before could lead elsewhere.
func (w *exportWorker) enter(dir string) (*os.Root, error) {
	if w.at != nil && w.dir == dir {
		return w.at, nil
	}
	w.close()
	at, err := w.e.root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(dir, "/") {
		if name == "." {
			break
		}
		next, err := enterOne(at, name)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	w.at, w.dir = at, dir
	return at, nil
}

func enterOne(at *os.Root, name string) (*os.Root, error) {
	err := at.Mkdir(name, 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err != nil {
		info, err := at.Lstat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("%w: %s is no folder", ErrCollision, name)
		}
	}
	return at.OpenRoot(name)
}

// writeAll makes changes until all are made or the export ends.
func (w *exportWorker) writeAll(changes []change) {
	for i := range changes {
		if w.ctx.Err() != nil {
			return
		}
		c := &changes[i]
		if err := w.write(c); err != nil && w.ctx.Err() == nil {
			w.e.problem(c.src.path, err)
		}
		w.e.looked(c.src.size)
	}
}

// write makes one file or link what it is in the drive.
func (w *exportWorker) write(c *change) error {
	at, err := w.enter(path.Dir(c.src.path[1:]))
	if err != nil {
		return err
	}
	name := path.Base(c.src.path)
	if c.touch {
		return w.touch(at, name, c.src)
	}
	if c.dst == nil {
		if info, err := at.Lstat(name); err == nil && info.IsDir() {
			return fmt.Errorf("%w: %s is a folder", ErrCollision, name)
		}
	}
	temporary := temporaryName()
	if c.src.isLink() {
		err = at.Symlink(diskLink(w.e.folder.root, c.src.link), temporary)
	} else {
		err = w.writeFile(at, temporary, c.src)
	}
	if err == nil {
		err = at.Rename(temporary, name)
	}
	if err != nil {
		if removeErr := at.Remove(temporary); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// touch sets mode and time of a file whose content is right.
func (w *exportWorker) touch(at *os.Root, name string, src *node) error {
	info, err := at.Lstat(name)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); (mode&0o100 != 0) != src.executable {
		mode &^= 0o111
		if src.executable {
			mode |= 0o111 & (mode >> 2) // whoever may read may run
		}
		if err := at.Chmod(name, mode); err != nil {
			return err
		}
	}
	return setTime(at, name, src.modTime)
}

func setTime(at *os.Root, name string, modTime time.Time) error {
	if modTime.IsZero() {
		return nil
	}
	return at.Chtimes(name, time.Time{}, modTime)
}

// writeFile writes a content under a temporary name.
func (w *exportWorker) writeFile(at *os.Root, name string, src *node) (err error) {
	mode := fs.FileMode(0o644)
	if src.executable {
		mode = 0o755
	}
	f, err := at.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := w.copyContent(f, src)
	if err != nil {
		return err
	}
	if n != src.size {
		return fmt.Errorf("%w: %d bytes instead of %d", hyperblobs.ErrInvalid, n, src.size)
	}
	return setTime(at, name, src.modTime)
}

func (w *exportWorker) copyContent(f *os.File, src *node) (uint64, error) {
	if src.size <= hyperblobs.BlockSize {
		data, err := w.e.view.Content(w.ctx, src.entry)
		if err != nil {
			return 0, err
		}
		n, err := f.Write(data)
		w.e.copying(n)
		return uint64(n), err
	}
	r, err := w.e.view.OpenEntry(w.ctx, src.entry)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := r.WriteTo(io.MultiWriter(f, countWriter(w.e.copying)))
	return uint64(n), err
}

// temporaryName returns a name that nothing has.
func temporaryName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return temporaryPrefix + hex.EncodeToString(b[:]) + temporarySuffix
}

// localName refuses names that the operating system reserves or cannot have.
func localName(p string) error {
	if _, err := filepath.Localize(p[1:]); err != nil {
		return fmt.Errorf("%w: %q", ErrName, p)
	}
	return nil
}

// foldsCase tells whether the file system takes names that differ in case for
// the same.
func foldsCase(root *os.Root) (folds bool, err error) {
	name := temporaryName()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	_, statErr := root.Lstat(strings.ToUpper(name))
	return statErr == nil, errors.Join(f.Close(), root.Remove(name))
}
