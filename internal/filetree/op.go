package filetree

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/compact"
)

// Limits of operations.
const (
	// MaxChanges is the largest number of changes in an operation.
	MaxChanges = 1000
	// MaxOp is the largest encoded operation in bytes.
	MaxOp = 1 << 20
	// MaxContent is the largest encoded content reference in bytes.
	MaxContent = 4096
	// MaxTarget is the longest target of a symlink in bytes.
	MaxTarget = 4096
	// MaxResolves is the largest number of copies that one change settles.
	MaxResolves = 16
	// MaxSnapshotName is the longest name of a snapshot in bytes.
	MaxSnapshotName = 255
	// MaxSnapshots is the largest number of snapshots of a tree.
	MaxSnapshots = 1000
)

const opVersion = 1

// ErrOpSize is the error of changes that are too large for one operation.
var ErrOpSize = fmt.Errorf("%w: too large", ErrOp)

// ErrOp is the error of an operation that has no effect at all, on no device.
// What [Apply] returns beside it comes from the store.
var ErrOp = errors.New("filetree: not an operation")

// maxRetention is a thousand years less than what a Duration can hold.
const maxRetention = 200 * 365 * 24 * time.Hour

// Check refuses a change that cannot take effect anywhere.
func (c *Change) Check() error {
	switch c.Action {
	case Put, Settle:
		if err := CheckPath(c.Path); err != nil {
			return err
		}
		if len(c.Resolves) > MaxResolves || c.Action == Settle && len(c.Resolves) == 0 {
			return fmt.Errorf("%w: settles %d copies", ErrOp, len(c.Resolves))
		}
		return c.Item.check()
	case Delete:
		if c.Base == (Version{}) {
			return fmt.Errorf("%w: delete of nothing", ErrOp)
		}
		return CheckPath(c.Path)
	case Move:
		if err := CheckPath(c.From); err != nil {
			return err
		}
		if c.Base == (Version{}) || within(c.Path, c.From) || within(c.From, c.Path) {
			return fmt.Errorf("%w: move of nothing, or into itself, or to where it is", ErrOp)
		}
		return CheckPath(c.Path)
	case Purge, Prune:
		if c.Retention < 0 || c.Retention > maxRetention {
			return fmt.Errorf("%w: retention of %v", ErrOp, c.Retention)
		}
		if c.Path != "" {
			return CheckPath(c.Path)
		}
		return nil
	case TakeSnapshot, DropSnapshot:
		if c.Name == "" || len(c.Name) > MaxSnapshotName || !utf8.ValidString(c.Name) {
			return fmt.Errorf("%w: name of a snapshot: %q", ErrOp, c.Name)
		}
		return nil
	}
	return fmt.Errorf("%w: %v is unknown", ErrOp, c.Action)
}

func (it *Item) check() error {
	switch {
	case it.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("%w: mode %v", ErrOp, it.Mode)
	case it.Modified.Unix() > 1<<52-1 || it.Modified.Unix() < -1<<52:
		return fmt.Errorf("%w: modification time %d", ErrOp, it.Modified.Unix())
	}
	switch it.Kind {
	case File:
		if it.Size > compact.MaxUint || len(it.Content) > MaxContent || it.Size > 0 && len(it.Content) == 0 {
			return fmt.Errorf("%w: file of %d bytes with %d bytes of reference", ErrOp, it.Size, len(it.Content))
		}
		return nil
	case Dir:
		return nil
	case Symlink:
		if it.Target == "" || len(it.Target) > MaxTarget {
			return fmt.Errorf("%w: symlink with a target of %d bytes", ErrOp, len(it.Target))
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d is unknown", ErrOp, it.Kind)
}
