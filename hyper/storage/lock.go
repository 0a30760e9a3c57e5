package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

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
		if errors.Is(err, os.ErrPermission) && !isBusy(err) {
			return nil, fmt.Errorf("storage: lock %s: %w", dir, err)
		}
		return nil, &LockedError{Dir: dir, PID: readPID(fs, dir)}
	}
	if err := writeFile(fs, fs.PathJoin(dir, pidFile), []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("storage: %w", err), l.Close())
	}
	return l, nil
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
