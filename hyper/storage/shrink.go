package storage

import (
	"context"
	"fmt"
	"sync"
)

// Shrink rewrites the part of the database that belongs to the core, without
// what was removed from it. The space of large blocks comes back by itself, that
// of small ones and of tree nodes only when the database gets to it: after much
// was cleared, or after the core was deleted, Shrink does it now. It takes as
// long as reading and writing what is left.
func (c *Core) Shrink(ctx context.Context) error {
	db := c.db
	if err := db.enter(); err != nil {
		return err
	}
	defer db.leave()
	ctx, stop := db.untilFailure(ctx)
	defer stop()
	prefix := appendCoreKey(nil, c.id, 0)[:corePrefixLen]
	if err := db.pebble.Compact(ctx, prefix, prefixEnd(prefix), false); err != nil {
		if failed := db.failure(); failed != nil {
			err = failed
		}
		return fmt.Errorf("shrink core %s: %w", c.dk, fromPebble(err))
	}
	return nil
}

// untilFailure returns a context that ends when the store fails too: what the database
// does in the background may not go on then.
func (db *DB) untilFailure(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-db.failed:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		watch.Wait()
	}
}
