//go:build unix

package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isBusy tells whether a lock was refused because somebody else has it.
func isBusy(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAGAIN)
}
