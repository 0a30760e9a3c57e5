package storage

import (
	"context"
	"fmt"
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
	prefix := appendCoreKey(nil, c.id, 0)[:corePrefixLen]
	if err := db.pebble.Compact(ctx, prefix, prefixEnd(prefix), false); err != nil {
		return fmt.Errorf("shrink core %s: %w", c.dk, fromPebble(err))
	}
	return nil
}
