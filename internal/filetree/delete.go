package filetree

import (
	"context"
)

// delete applies Delete.
func (t *tx) delete(ctx context.Context, c *Change) error {
	copies, err := t.openCopies(ctx, c)
	if err != nil {
		return err
	}
	if err := t.settle(ctx, copies, Version{}); err != nil {
		return err
	}
	p, err := t.locate(ctx, c.Base, c.Path)
	if err != nil {
		return err
	}
	if p.how == replaced {
		seen, ok, err := t.former(ctx, c.Base)
		if err != nil {
			return err
		}
		if !ok || !sameContent(&seen.item, &p.rec.item) {
			return t.skip(ctx, c, Edited)
		}
		// What is there has the content that the author saw.
		p.how = here
	}
	switch {
	case p.how != here:
		return t.skip(ctx, c, NotThere)
	case p.path != c.Path && p.own && !p.rec.conflict:
		// Who moved it wants to have it.
		return t.skip(ctx, c, MovedAway)
	case p.rec.item.Kind == Dir:
		full, err := t.hasBelow(ctx, p.path)
		if err != nil {
			return err
		}
		if full {
			return t.skip(ctx, c, NotEmpty)
		}
	}
	return t.remove(ctx, p.path, p.rec, Version{})
}
