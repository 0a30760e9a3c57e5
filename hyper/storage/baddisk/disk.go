// Package baddisk is a disk that fails when it is told to. It is for tests of package
// storage and of what is built on it.
//
// A Disk counts the operations of one kind from the moment a Fault begins, so that a test
// can let each of them fail in turn.
package baddisk

import (
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Fault says which operations of a disk fail, and how.
type Fault struct {
	// Op is what fails: errorfs.OpIsRead or errorfs.OpIsWrite.
	Op errorfs.OpReadWrite
	// At is the operation that fails first, counted from 0 when the fault begins.
	At int64
	// Forever says that those behind it fail as well.
	Forever bool
	// After says that writes and syncs of files have their effect before they are said to
	// have failed; no other operation fails.
	After bool
	// Err is the error. Default EIO.
	Err error
}

// Ways are all the ways to fail at one operation.
func Ways() []Fault {
	return []Fault{
		{Op: errorfs.OpIsWrite}, {Op: errorfs.OpIsWrite, Forever: true}, {Op: errorfs.OpIsWrite, After: true},
		{Op: errorfs.OpIsRead}, {Op: errorfs.OpIsRead, Forever: true},
	}
}

// Next returns the fault at the operation that a test tries next: the one behind, or, if not
// every one is tried, one some way behind, the further the later it is.
func (f Fault) Next(every bool) Fault {
	f.At++
	if !every {
		f.At += f.At / 2
	}
	return f
}

// String names the way to fail.
func (f Fault) String() string {
	s := "read"
	if f.Op == errorfs.OpIsWrite {
		s = "write"
	}
	if f.After {
		s += " after"
	}
	if f.Forever {
		return s + " forever"
	}
	return s + " once"
}

// Disk is a file system of which operations fail. It is safe for concurrent use.
type Disk struct {
	vfs.FS
	fault atomic.Pointer[running]
}

// running is a fault with what happened since it began.
type running struct {
	Fault
	seen, failed atomic.Int64
}

// New returns a disk that works as fs does until a fault begins.
func New(fs vfs.FS) *Disk {
	d := new(Disk)
	d.FS = errorfs.Wrap(&lateFS{Reusing(fs), d}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		return d.hit(op.Kind.ReadOrWrite(), false)
	}))
	return d
}

// Fail begins a fault, in place of the one before.
func (d *Disk) Fail(f Fault) {
	if f.Err == nil {
		f.Err = &errnoError{syscall.EIO}
	}
	d.fault.Store(&running{Fault: f})
}

// Mend ends the fault and tells how many operations it met and how many of them failed.
func (d *Disk) Mend() (seen, failed int64) {
	f := d.fault.Swap(nil)
	if f == nil {
		return 0, 0
	}
	return f.seen.Load(), f.failed.Load()
}

// hit returns the error of an operation, if it is to fail.
func (d *Disk) hit(op errorfs.OpReadWrite, after bool) error {
	f := d.fault.Load()
	if f == nil || f.Op != op || f.After != after {
		return nil
	}
	if n := f.seen.Add(1) - 1; n != f.At && !(f.Forever && n > f.At) {
		return nil
	}
	f.failed.Add(1)
	return f.Err
}

// errnoError is an error of the system as those of files are: in another one.
type errnoError struct{ errno syscall.Errno }

func (e *errnoError) Error() string { return e.errno.Error() }
func (e *errnoError) Unwrap() error { return e.errno }

// Reusing returns fs with files that are reused by renaming and opening them. The file
// system in memory does both under one lock that it takes twice for reading, which locks up
// for ever once a copy waits for that lock in between.
func Reusing(fs vfs.FS) vfs.FS { return reusingFS{fs} }

type reusingFS struct{ vfs.FS }

func (fs reusingFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return fs.OpenReadWrite(newname, c)
}
