package node

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

type brokenStore struct{ err error }

func (s brokenStore) Failed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (s brokenStore) Err() error { return s.err }

func TestAFailedDiskEndsTheNodeInPlainWords(t *testing.T) {
	for errno, kind := range map[syscall.Errno]fault.Kind{syscall.EIO: fault.Disk, syscall.ENOSPC: fault.Full} {
		err := watchDisk(t.Context(), "/home/ada", brokenStore{fmt.Errorf("storage: refuses changes after a failure: write the log: %w", errno)})
		if fault.KindOf(err) != kind || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
