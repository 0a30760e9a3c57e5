package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const pidFile = "PID"

// lockStore takes the lock on the directory and leaves our process id beside
// it. The lock itself is the kernel's and ends with the process; the id is for
// the message only.
func lockStore(fs vfs.FS, dir string) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		if isBusy(err) {
			return nil, &LockedError{Dir: dir, PID: readPID(fs, dir)}
		}
		return nil, fmt.Errorf("storage: lock %s: %w", dir, err)
	}
	if err := writeFile(fs, fs.PathJoin(dir, pidFile), []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("storage: %w", err), l.Close())
	}
	return l, nil
}

// isBusy tells whether a lock was refused because somebody else has it. The
// kernel says so with one of two numbers, a lock of this process has none; a lock
// file that cannot be made is another matter.
func isBusy(err error) bool {
	var file *os.PathError
	var number syscall.Errno
	return !errors.As(err, &file) && (!errors.As(err, &number) || number == syscall.EACCES || number == syscall.EAGAIN)
}

func readPID(fs vfs.FS, dir string) int {
	f, err := fs.Open(fs.PathJoin(dir, pidFile))
	if err != nil {
		return 0
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

func writeFile(fs vfs.FS, name string, data []byte) error {
	f, err := fs.Create(name, diskCategory)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
