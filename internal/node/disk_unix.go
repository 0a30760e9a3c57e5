//go:build linux || darwin || freebsd

package node

import "golang.org/x/sys/unix"

// freeBytes returns the space that is left for us on the disk of dir, 0 when
// unknown.
func freeBytes(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return uint64(s.Bavail) * uint64(s.Bsize)
}
