//go:build linux || darwin || freebsd

package node

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// writable tells why files cannot be made in a folder; nil if they can.
func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

// freeBytes returns the space that is left for us on the disk of dir, 0 when
// unknown.
func freeBytes(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return uint64(s.Bavail) * uint64(s.Bsize)
}
