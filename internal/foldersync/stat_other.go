//go:build !linux && !darwin

package foldersync

import "io/fs"

// statOf returns what the system says of a file. Inodes and devices are not known here:
// renamed files are found by their content.
func statOf(info fs.FileInfo) (s stat, device uint64) {
	return stat{size: uint64(info.Size()), mtime: info.ModTime().UnixNano(), mode: info.Mode().Perm()}, 0
}
