package storage

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The database ends the process where its log, or the directory that it is in, cannot be
// written: it knows no way on. There is one: from the first such failure on the store
// takes no change any more, so that nobody is told that something is stored which is
// not, and the database may believe that all went well. Nothing that is on the disk goes
// away then, and nothing is added to the list of the tables that count, because what
// would be in place of it may not be there.

// errFrozen: what the database has on disk stays what it is.
var errFrozen = errors.New("storage: the disk failed before")

// manifestFile is the list of tables and logs that count.
type manifestFile struct {
	vfs.File
	fs *storeFS
}

func (f *manifestFile) Write(p []byte) (int, error) {
	if f.fs.failed.Load() {
		return 0, errFrozen
	}
	return f.File.Write(p)
}

func (f *manifestFile) Sync() error {
	if f.fs.failed.Load() {
		return errFrozen
	}
	return f.File.Sync()
}

// breaks takes note that the log, or its directory, failed.
func (fs *storeFS) breaks(doing string, err error) {
	fs.failed.Store(true)
	fs.broken(fmt.Errorf("%s: %w", doing, err))
}

// lostFile stands for a file that cannot be made. It takes everything and has nothing.
type lostFile struct{ vfs.File }

func newLostFile() vfs.File { return lostFile{vfs.NewMemFile(nil)} }

func (lostFile) Write(p []byte) (int, error)            { return len(p), nil }
func (lostFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (lostFile) Preallocate(int64, int64) error         { return nil }
func (lostFile) Sync() error                            { return nil }
func (lostFile) SyncData() error                        { return nil }
func (lostFile) SyncTo(int64) (bool, error)             { return true, nil }
func (lostFile) Fd() uintptr                            { return vfs.InvalidFd }

// dirFile is the directory of the database.
type dirFile struct {
	vfs.File
	fs *storeFS
}

func (f *dirFile) Sync() error {
	if f.fs.failed.Load() {
		return nil
	}
	if err := f.File.Sync(); err != nil {
		f.fs.breaks("sync the directory of the database", err)
	}
	return nil
}

// retryPause keeps the database from trying again at once what the disk refuses, as it
// does with tables.
const retryPause = 50 * time.Millisecond

// slowly waits a little after an error.
func slowly(err error) error {
	if err != nil {
		time.Sleep(retryPause)
	}
	return err
}

// maxRefused is how often in a row the disk may refuse to take a table, other than for
// want of room, before that is a failure: while it does, memory fills.
const maxRefused = 20

var errTables = errors.New("storage: the disk takes no tables")

// background is called when the database fails at what nobody waits for. It tries again.
func (db *DB) background(err error) {
	db.opts.Log.Debug("database", "err", err)
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	opening := !db.running.Load() // and waits for its tables
	if n := db.refused.Add(1); n >= maxRefused && (!full || opening) {
		db.fail(fmt.Errorf("%w: %w", errTables, err))
		if opening {
			db.halt()
		}
	}
}
