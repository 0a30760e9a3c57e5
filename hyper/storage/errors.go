package storage

import (
	"errors"
	"fmt"
	"syscall"
)

// Errors that callers test for.
var (
	// ErrNotFound: the core, node, block or record is not in the store.
	ErrNotFound = errors.New("storage: not found")
	// ErrExists: CreateCore for a discovery key, or CreateBranch for a name,
	// that is taken.
	ErrExists = errors.New("storage: already exists")
	// ErrCorrupt: bytes on disk are not what was written. The upper layer may
	// fetch the data again; Check finds all such places.
	ErrCorrupt = errors.New("storage: corrupt")
	// ErrClosed: the DB, Snapshot or Batch is closed.
	ErrClosed = errors.New("storage: closed")
	// ErrDeleted: the core was deleted.
	ErrDeleted = errors.New("storage: core deleted")
	// ErrFailed: an earlier commit failed with an unknown outcome, or the
	// database reported an error it cannot recover from. Reads go on; the store
	// must be closed and opened again before it takes another change.
	ErrFailed = errors.New("storage: refuses changes after a failure")
	// ErrNewerFormat: the store was written by a newer version of this program.
	ErrNewerFormat = errors.New("storage: format is newer than this program")
	// ErrTooLarge: a block above MaxBlock bytes or an index above MaxIndex.
	ErrTooLarge = errors.New("storage: too large")
	// ErrFull: the disk is full. The batch was not applied and the store stays
	// usable. It is syscall.ENOSPC as well.
	ErrFull error = fullError{}
)

type fullError struct{}

func (fullError) Error() string        { return "storage: disk full" }
func (fullError) Is(target error) bool { return target == syscall.ENOSPC }

// LockedError is returned by Open when another process, or another DB in this
// one, has the store open.
type LockedError struct {
	Dir string
	PID int // process that holds the store; 0 if unknown
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("storage: %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("storage: %s is in use by process %d", e.Dir, e.PID)
}

// errStop ends a scan early.
var errStop = errors.New("storage: stop")
