package foldersync

import (
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tradle/cloudpal/internal/filetree"
)

// lstat returns what is at a name, which is one part of a path.
func (p *place) lstat(name string) (filetree.Kind, stat, error) {
	var s unix.Stat_t
	if err := unix.Fstatat(int(p.h.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, stat{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	kind, st := ofSystem(&s)
	return kind, st, nil
}

func ofSystem(s *unix.Stat_t) (filetree.Kind, stat) {
	kind := filetree.Kind(0)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind = kindFile
	case unix.S_IFDIR:
		kind = kindDir
	case unix.S_IFLNK:
		kind = kindSymlink
	}
	return kind, stat{size: uint64(s.Size), mtime: s.Mtim.Nano(), ctime: s.Ctim.Nano(), ino: s.Ino, mode: fs.FileMode(s.Mode) & fs.ModePerm}
}

// create makes a file, which nothing may be at the name of, and opens it for writing.
func (p *place) create(name string, mode fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(p.h.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), name), nil
		case unix.EINTR:
		default:
			return nil, &fs.PathError{Op: "create", Path: name, Err: err}
		}
	}
}

// setTime sets when a file was modified.
func (p *place) setTime(name string, t time.Time) error {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(t.UnixNano())}
	if err := unix.UtimesNanoAt(int(p.h.Fd()), name, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}
