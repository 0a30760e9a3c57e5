package filetree

import (
	"context"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

// due returns the latest time of what Purge or Prune drop: it is older than the
// retention by the operation's own clock. ok is false if nothing can be.
func (t *tx) due(retention time.Duration) (at uint64, ok bool) {
	ms := uint64(retention / time.Millisecond)
	now := t.now.at >> 16
	if ms > now {
		return 0, false
	}
	return (now-ms)<<16 | 0xffff, true
}

// releasedKeep is how long the list of garbage has contents at least, by the times of
// operations: for devices that are away, though these find out without it when they come
// back.
const releasedKeep = 30 * 24 * time.Hour

// purge applies Purge.
func (t *tx) purge(ctx context.Context, c *Change) error {
	until, ok := t.due(c.Retention)
	if !ok {
		return t.skip(ctx, c, NotThere)
	}
	kept, err := t.snapshotPositions(ctx)
	if err != nil {
		return err
	}
	var keys [][]byte
	for kv, err := range t.Entries(ctx, hyperbee.Range{GT: []byte{keyTrash}, LT: numberKey(keyTrash, until+1)}) {
		if err != nil {
			return err
		}
		if len(keys) >= t.left {
			break // the rest is for the next one
		}
		keys = append(keys, kv.Key)
	}
	for _, key := range keys {
		f, err := t.trashed(ctx, key)
		if err != nil {
			return err
		}
		if c.Path != "" && !within(f.path, c.Path) {
			continue
		}
		d := dropper{tx: t, kept: kept, links: make(map[Version]uint64)}
		if err := d.collect(ctx, f); err != nil {
			return err
		}
		if d.held {
			continue
		}
		if err := d.drop(ctx); err != nil {
			return err
		}
	}
	if old, ok := t.due(releasedKeep); ok && c.Path == "" {
		if err := t.pruneGarbage(ctx, old); err != nil {
			return err
		}
	}
	return t.effects.add(ctx, Effect{What: Dropped, Path: c.Path})
}

// dropper finds the versions that only one version in the trash leads to.
type dropper struct {
	*tx
	kept  []uint64 // positions of snapshots
	links map[Version]uint64
	list  []*former
	held  bool // a snapshot needs one of them
}

func (d *dropper) collect(ctx context.Context, f *former) error {
	for todo := []*former{f}; len(todo) > 0 && !d.held; {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		d.list = append(d.list, f)
		d.held = f.inAny(d.kept)
		for _, v := range f.parents {
			p, ok, err := d.former(ctx, v)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if _, ok := d.links[v]; !ok {
				d.links[v] = p.links
			}
			if d.links[v]--; d.links[v] == 0 && !p.deleted() {
				todo = append(todo, p)
			}
		}
	}
	return nil
}

func (d *dropper) drop(ctx context.Context) error {
	for _, f := range d.list {
		if err := d.forget(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// forget drops a version that is not in the tree, and its links to others.
func (t *tx) forget(ctx context.Context, f *former) error {
	t.left--
	if f.deleted() {
		if err := t.untrash(ctx, f, false); err != nil {
			return err
		}
	} else {
		t.n.history--
		if err := t.s.Del(ctx, versionKey(keyHistory, f.version)); err != nil {
			return err
		}
	}
	for _, v := range f.parents {
		p, ok, err := t.former(ctx, v)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		p.links--
		if err := t.s.Put(ctx, versionKey(keyHistory, v), p.append(nil)); err != nil {
			return err
		}
	}
	return t.unref(ctx, &f.item)
}

// inAny tells whether a version was in the tree at one of the positions.
func (f *former) inAny(positions []uint64) bool {
	for _, at := range positions {
		if f.born <= at && at < f.died {
			return true
		}
	}
	return false
}
