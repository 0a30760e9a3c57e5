//go:build !linux

package storage

import "github.com/cockroachdb/pebble/v2/vfs"

func writeVector(f vfs.File, chunks [][]byte, off int64) error { return writeEach(f, chunks, off) }

func extend(vfs.File, int64, int64) (done bool, err error) { return false, nil }

func punch(vfs.File, int64, int64) (ok bool, err error) { return false, nil }
