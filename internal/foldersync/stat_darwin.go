package foldersync

import (
	"io/fs"
	"syscall"
)

// statOf returns what the system says of a file, and the device it is on.
func statOf(info fs.FileInfo) (s stat, device uint64) {
	s = stat{size: uint64(info.Size()), mtime: info.ModTime().UnixNano(), mode: info.Mode().Perm()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.ino, s.ctime, device = sys.Ino, sys.Ctimespec.Nano(), uint64(sys.Dev)
	}
	return s, device
}
