package storage

import (
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// storeFS is the file system as the database sees it. Files and directories it
// makes are the owner's only, and syncs of the write-ahead log are skipped
// while nobody needs them.
//
// Pebble gives the choice between a commit that waits for fsync and one that
// does not even wait for write(2). All our commits are of the first kind; a
// relaxed one is made cheap by skipping the fsync here. The log is synced for
// real while a durable commit waits, and always before it is closed, so that
// only the tail of the newest log can be lost in a power failure.
type storeFS struct {
	vfs.FS
	dir     string       // of the database
	waiters atomic.Int64 // durable commits under way
	broken  func(error)  // reports a failed write or sync of the log
	failed  atomic.Bool  // nothing is to be written to the log any more
	// tail decides what is read of the log, which happens when the database is
	// opened. Set once.
	tail *logTail
	// segs is synced before a table is: what a table says is in a segment is on
	// disk. Nil while the database is opened.
	segs atomic.Pointer[segments]
}

func (fs *storeFS) Unwrap() vfs.FS { return fs.FS }

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

func (fs *storeFS) made(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if f.Fd() != vfs.InvalidFd { // it is on a disk
		if err := os.Chmod(name, 0o600); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	switch {
	case isLog(name):
		return &logFile{File: f, fs: fs}, nil
	case strings.HasPrefix(fs.PathBase(name), "MANIFEST-"):
		return &manifestFile{f, fs}, nil
	case isTable(name):
		return &tableFile{File: f, fs: fs}, nil
	}
	return f, nil
}

func (fs *storeFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil || fs.tail == nil || !isLog(name) {
		return f, err
	}
	return fs.tail.open(f, name)
}

func (fs *storeFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if isMarker(fs, name) {
		// The database syncs the directory when the marker is there: a crash before that
		// may leave the marker without the file that it names.
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	if fs.failed.Load() {
		if isLog(name) {
			return newLostFile(), nil
		}
		return nil, slowly(errFrozen)
	}
	f, err := fs.FS.Create(name, c)
	if f, err = fs.made(name, f, err); err != nil && isLog(name) {
		fs.breaks("make a log", err)
		return newLostFile(), nil
	}
	if isTable(name) {
		err = slowly(err)
	}
	return f, err
}

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// isMarker tells whether a file says by its name which manifest counts.
func isMarker(fs vfs.FS, name string) bool {
	return strings.HasPrefix(fs.PathBase(name), "marker.manifest.")
}

// Remove makes sure that a marker outlives the one before it.
func (fs *storeFS) Remove(name string) error {
	if fs.failed.Load() {
		return nil
	}
	if isMarker(fs, name) {
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return err
		}
	}
	return fs.FS.Remove(name)
}

func (fs *storeFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	return fs.made(name, f, err)
}

func (fs *storeFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if isLog(name) && fs.failed.Load() {
		return newLostFile(), nil
	}
	f, err := fs.FS.ReuseForWrite(old, name, c)
	if f, err = fs.made(name, f, err); err != nil && isLog(name) {
		fs.breaks("make a log", err)
		return newLostFile(), nil
	}
	return f, err
}

// OpenDir gives the database its directory so that syncs do not fail.
func (fs *storeFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil || name != fs.dir {
		return f, err
	}
	return &dirFile{f, fs}, nil
}

func (fs *storeFS) MkdirAll(dir string, _ os.FileMode) error { return fs.FS.MkdirAll(dir, 0o700) }

// Lock makes the lock file the owner's only, too. It goes by the name: closing
// another descriptor of the file would end the lock.
func (fs *storeFS) Lock(name string) (io.Closer, error) {
	l, err := fs.FS.Lock(name)
	if err == nil && fs.FS == vfs.Default {
		err = os.Chmod(name, 0o600)
	}
	return l, err
}

// compareLogs orders names of logs by number.
func compareLogs(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// removeLogs deletes the log files in dir but the newest, which it empties. After
// everything was flushed the others are only kept by the database for reuse, and
// so is what is left in the newest of its life before.
func (fs *storeFS) removeLogs(dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !isLog(n) })
	slices.SortFunc(names, compareLogs)
	for i, n := range names {
		path := fs.PathJoin(dir, n)
		if i < len(names)-1 {
			err = errors.Join(err, fs.Remove(path))
			continue
		}
		f, e := fs.Create(path, vfs.WriteCategoryUnspecified)
		if e == nil {
			e = f.Close()
		}
		err = errors.Join(err, e)
	}
	return err
}

// logFile is the write-ahead log.
type logFile struct {
	vfs.File
	fs    *storeFS
	dirty atomic.Bool
}

// Preallocate gives the log its size at once: a sync that finds the size
// unchanged has one thing to write instead of two. The log's end is found in its
// records, as that of a log that is used again.
func (f *logFile) Preallocate(offset, length int64) error {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		if done, err := extend(f.File, offset, length); done || err != nil {
			return err
		}
	}
	return f.File.Preallocate(offset, length)
}

func (f *logFile) Write(p []byte) (int, error) {
	if f.fs.failed.Load() {
		return len(p), nil
	}
	f.dirty.Store(true)
	if _, err := f.File.Write(p); err != nil {
		f.fs.breaks("write the log", err)
	}
	return len(p), nil
}

func (f *logFile) Sync() error { return f.SyncData() }

func (f *logFile) SyncData() error {
	if f.fs.waiters.Load() == 0 {
		return nil
	}
	return f.sync()
}

func (f *logFile) sync() error {
	if !f.dirty.Swap(false) || f.fs.failed.Load() {
		return nil
	}
	if err := f.File.SyncData(); err != nil {
		f.fs.breaks("sync the log", err)
	}
	return nil
}

func (f *logFile) Close() error {
	err := f.sync()
	if e := f.File.Close(); e != nil && !f.fs.failed.Load() {
		f.fs.breaks("close the log", e)
	}
	return err
}

// tableFile gathers the small writes of a table into larger ones. Tables are
// written from front to back and read only when finished.
type tableFile struct {
	vfs.File
	fs  *storeFS
	buf []byte
}

const tableBuffer = 256 << 10

func (f *tableFile) Write(p []byte) (int, error) {
	if f.buf == nil {
		f.buf = make([]byte, 0, tableBuffer)
	}
	if len(f.buf)+len(p) > cap(f.buf) {
		if err := f.flush(); err != nil {
			return 0, err
		}
		if len(p) >= cap(f.buf) {
			return f.File.Write(p)
		}
	}
	f.buf = append(f.buf, p...)
	return len(p), nil
}

func (f *tableFile) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.File.Write(f.buf)
	f.buf = f.buf[:0]
	return slowly(err)
}

func (f *tableFile) Sync() error { return slowly(errors.Join(f.prepare(), f.File.Sync())) }

func (f *tableFile) SyncData() error { return slowly(errors.Join(f.prepare(), f.File.SyncData())) }

// prepare makes the table ready for its sync.
func (f *tableFile) prepare() error {
	err := f.flush()
	if s := f.fs.segs.Load(); s != nil {
		if e := s.sync(); e != nil {
			f.fs.broken(e)
			err = errors.Join(err, e)
		}
	}
	return err
}

func (f *tableFile) SyncTo(n int64) (bool, error) {
	if err := f.flush(); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

func (f *tableFile) Close() error {
	err := f.flush()
	f.buf = nil
	return errors.Join(err, f.File.Close())
}
