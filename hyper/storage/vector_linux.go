package storage

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// maxVector is IOV_MAX of the kernel.
const maxVector = 1024

// writeVector writes chunks one after the other at off, with as few system
// calls as the kernel allows.
func writeVector(f vfs.File, chunks [][]byte, off int64) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd || len(chunks) == 1 {
		return writeEach(f, chunks, off)
	}
	for len(chunks) > 0 {
		n, err := unix.Pwritev(int(fd), chunks[:min(len(chunks), maxVector)], off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		off += int64(n)
		for n > 0 {
			if n < len(chunks[0]) {
				// A partial write ends inside a chunk: finish it by itself.
				if err := writeEach(f, [][]byte{chunks[0][n:]}, off); err != nil {
					return err
				}
				off += int64(len(chunks[0]) - n)
				n = len(chunks[0])
			}
			n -= len(chunks[0])
			chunks = chunks[1:]
		}
		for len(chunks) > 0 && len(chunks[0]) == 0 {
			chunks = chunks[1:]
		}
	}
	return nil
}

// extend makes a file at least offset+n bytes long, with space for the last n of
// them. done is false if the file system cannot.
func extend(f vfs.File, offset, n int64) (done bool, err error) {
	err = unix.Fallocate(int(f.Fd()), 0, offset, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	return err == nil, err
}

// punch gives the space of a range back to the file system. ok is false if the
// file system cannot.
func punch(f vfs.File, off, n int64) (ok bool, err error) {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false, nil
	}
	err = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	return err == nil, err
}
