package node

import (
	"context"
	"errors"
	"syscall"

	"github.com/tradle/cloudpal/internal/fault"
)

// watchDisk waits until a store takes no more changes, because the disk failed, or until
// ctx ends.
func watchDisk(ctx context.Context, home string, store interface {
	Failed() <-chan struct{}
	Err() error
}) error {
	select {
	case <-store.Failed():
		return diskFailed(home, store.Err())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// diskFailed says in plain words that a store refuses changes.
func diskFailed(home string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.New(fault.Full, "the disk of the data folder %s got full while it was written: %w", home, err).
			Hint("free some space and start again; what was confirmed before is there")
	}
	return fault.New(fault.Disk, "the disk of the data folder %s failed: %w", home, err)
}
