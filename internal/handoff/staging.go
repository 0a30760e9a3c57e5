package handoff

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

// stagingPrefix begins the name of the folder in the destination where a transfer
// is until it is complete.
const stagingPrefix = ".cloudpal-incoming-"

// Inside it: the files that are complete, the one that is not, and the number of
// entries that are.
const (
	filesName   = "files"
	partialName = "partial"
	countName   = "count"
	// placingName is there once the first of the files may have gone to its place.
	placingName = "placing"
)

// staging holds what has arrived. The peer chooses the names below filesName and
// nothing else.
type staging struct {
	dest  *os.Root // the destination
	name  string   // in dest
	root  *os.Root // the folder of that name
	inner *os.Root // the folder filesName
	count *os.File
	lock  io.Closer
	tally
	fresh bool // an entry was completed since it was opened
}

// tally is what is complete.
type tally struct {
	entries uint64 // all, those included that could not be had
	files   uint64
	bytes   uint64 // of the files
}

// openStaging continues the transfer with this id in the folder dest, or begins
// it.
func openStaging(dest, id string) (*staging, error) {
	if err := os.MkdirAll(dest, 0o777); err != nil {
		return nil, err
	}
	st := &staging{name: stagingPrefix + id}
	if err := st.open(dest); err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

func (st *staging) open(dest string) (err error) {
	if st.dest, err = os.OpenRoot(dest); err != nil {
		return err
	}
	if err := mkdir(st.dest, st.name, 0o700); err != nil {
		return err
	}
	if st.root, err = st.dest.OpenRoot(st.name); err != nil {
		return err
	}
	if st.lock, err = lockFolder(st.root); err != nil {
		return err
	}
	if err := mkdir(st.root, filesName, 0o777); err != nil {
		return err
	}
	if st.inner, err = st.root.OpenRoot(filesName); err != nil {
		return err
	}
	if st.count, err = st.root.OpenFile(countName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	return st.load()
}

// load reads the tally and compares it with what is there. A machine that lost its
// power may have kept less than it recorded: then everything is received again.
func (st *staging) load() error {
	var b [24]byte
	if _, err := st.count.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	st.tally = tally{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
	if _, err := st.root.Lstat(placingName); err == nil {
		return nil // all has arrived, and some is gone to its place
	}
	var here tally
	err := fs.WalkDir(st.inner.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		here.files++
		here.bytes += uint64(info.Size())
		return nil
	})
	if err != nil {
		return err
	}
	same := here.files == st.files && here.bytes == st.bytes
	// The last file may have got its name just before the end.
	last := here.files == st.files+1 && here.bytes >= st.bytes
	if same || last {
		return nil
	}
	return st.clear()
}

// clear forgets what has arrived.
func (st *staging) clear() error {
	st.tally = tally{}
	if err := st.inner.Close(); err != nil {
		return err
	}
	if err := errors.Join(st.root.RemoveAll(filesName), st.dropPartial(), st.count.Truncate(0), mkdir(st.root, filesName, 0o777)); err != nil {
		return err
	}
	var err error
	st.inner, err = st.root.OpenRoot(filesName)
	return err
}

func mkdir(r *os.Root, name string, perm os.FileMode) error {
	if err := r.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (st *staging) close() {
	if st.count != nil {
		st.count.Close()
	}
	if st.lock != nil {
		st.lock.Close()
	}
	for _, r := range []*os.Root{st.inner, st.root, st.dest} {
		if r != nil {
			r.Close()
		}
	}
}

// complete records that one more entry is complete: e, or none if it could not be
// had.
func (st *staging) complete(e *entry) error {
	st.entries++
	if e != nil && e.Kind == "" {
		st.files++
		st.bytes += e.Size
	}
	st.fresh = true
	var b []byte
	for _, n := range []uint64{st.entries, st.files, st.bytes} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	_, err := st.count.WriteAt(b, 0)
	return err
}

// partial opens the file that is not complete, and returns its size.
func (st *staging) partial() (*os.File, uint64, error) {
	f, err := st.root.OpenFile(partialName, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, uint64(info.Size()), nil
}

// dropPartial forgets the file that is not complete.
func (st *staging) dropPartial() error {
	if err := st.root.Remove(partialName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// file gives the partial file its name. It must be closed.
func (st *staging) file(e *entry) error {
	mode := os.FileMode(0o666)
	if e.Executable {
		mode = 0o777
	}
	if mode == 0o777 {
		// Opening applied the umask to 0666; whoever may read may also execute.
		info, err := st.root.Lstat(partialName)
		if err != nil {
			return err
		}
		if err := st.root.Chmod(partialName, info.Mode().Perm()|info.Mode().Perm()>>2&0o111); err != nil {
			return err
		}
	}
	if !e.Modified.IsZero() {
		if err := st.root.Chtimes(partialName, time.Time{}, e.Modified); err != nil {
			return err
		}
	}
	if err := st.mkdirs(path.Dir(e.Path)); err != nil {
		return err
	}
	name := e.Path
	// The first entry after a restart may have been completed just before.
	if st.fresh {
		name = path.Join(path.Dir(name), free(path.Base(name), func(n string) bool {
			_, err := st.inner.Lstat(filepath.FromSlash(path.Join(path.Dir(name), n)))
			return !errors.Is(err, fs.ErrNotExist)
		}))
	}
	// Rename works within one root: both names are below the staging folder.
	return st.root.Rename(partialName, filepath.Join(filesName, filepath.FromSlash(name)))
}

func (st *staging) folder(p string) error { return st.mkdirs(p) }

func (st *staging) mkdirs(p string) error {
	if p == "." {
		return nil
	}
	return st.inner.MkdirAll(filepath.FromSlash(p), 0o777)
}

func (st *staging) link(e *entry) error {
	if err := st.mkdirs(path.Dir(e.Path)); err != nil {
		return err
	}
	name := filepath.FromSlash(e.Path)
	if now, err := st.inner.Readlink(name); err == nil && now == filepath.FromSlash(e.Target) {
		return nil
	}
	return st.inner.Symlink(filepath.FromSlash(e.Target), name)
}

// place moves everything to the destination under names that are free there, and
// removes the staging folder. It returns the names.
func (st *staging) place(ctx context.Context) (names []string, err error) {
	if err := st.root.WriteFile(placingName, nil, 0o600); err != nil {
		return nil, err
	}
	d, err := st.inner.Open(".")
	if err != nil {
		return nil, err
	}
	list, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if err := ctx.Err(); err != nil {
			return names, err
		}
		name, err := st.placeOne(e)
		if err != nil {
			return names, fmt.Errorf("put %s into its place: %w", printable(e.Name(), 100), err)
		}
		names = append(names, name)
	}
	st.count.Close()
	st.count = nil
	if err := st.dest.RemoveAll(st.name); err != nil {
		return names, err
	}
	return names, syncFolder(st.dest)
}

// placeOne moves one thing to a free name, in a way that never replaces what
// somebody else has put there meanwhile.
func (st *staging) placeOne(e fs.DirEntry) (string, error) {
	from := filepath.Join(st.name, filesName, e.Name())
	taken := make(map[string]bool)
	for {
		name := free(e.Name(), func(n string) bool {
			if taken[n] {
				return true
			}
			_, err := st.dest.Lstat(n)
			return !errors.Is(err, fs.ErrNotExist)
		})
		err := st.move(e, from, name)
		if err == nil || len(taken) == maxAttempts {
			return name, err
		}
		if _, e := st.dest.Lstat(name); errors.Is(e, fs.ErrNotExist) {
			return name, err
		}
		taken[name] = true // somebody was faster
	}
}

// maxAttempts is how often somebody else may be faster.
const maxAttempts = 100

func (st *staging) move(e fs.DirEntry, from, name string) error {
	if e.IsDir() {
		return st.dest.Rename(from, name) // fails if there is anything
	}
	// A second name for the file, then away with the first.
	if err := st.dest.Link(from, name); err == nil {
		return st.dest.Remove(from)
	} else if errors.Is(err, fs.ErrExist) {
		return err
	}
	// Not every file system has such links. Claim the name, then take the place.
	if err := claim(st.dest, name); err != nil {
		return err
	}
	return st.dest.Rename(from, name)
}

func claim(r *os.Root, name string) error {
	f, err := r.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// syncFolder makes names durable where the system can do that.
func syncFolder(r *os.Root) error {
	d, err := r.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync() // not everywhere
	return nil
}

// lockFolder keeps a second receiver out of the same staging folder, as long as
// the first lives.
func lockFolder(r *os.Root) (io.Closer, error) {
	f, err := r.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fault.New(fault.Busy, "these files are already being received here: %w", err)
	}
	return f, nil
}

// validID tells whether an id can be part of a file's name.
func validID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}
