//go:build unix

package foldersync

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openFlags make opening fail on a link and not wait on a pipe.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK

// freeBytes returns the space that is left for us on the disk of dir.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// setLinkTime sets the times of a link itself.
func setLinkTime(dir *os.Root, name string, t time.Time) error {
	at, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer at.Close()
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.UtimesNanoAt(int(at.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}
