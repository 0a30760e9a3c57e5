package foldersync

import (
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// statOf returns what the system says of a file, and the device it is on.
func statOf(info fs.FileInfo) (s stat, device uint64) {
	s = stat{size: uint64(info.Size()), mtime: info.ModTime().UnixNano(), mode: info.Mode().Perm()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.ino, s.ctime, device = sys.Ino, sys.Ctim.Nano(), uint64(sys.Dev)
	}
	return s, device
}

// bootID names the time since the system was started.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// syncEach says whether each file has to be made durable by itself.
const syncEach = false

// syncAll makes everything on the file system of f durable.
func syncAll(f *os.File) error { return unix.Syncfs(int(f.Fd())) }
