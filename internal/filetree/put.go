package filetree

import (
	"context"
	"io/fs"
	"slices"
)

// implicitMode is the mode of directories that nobody made.
const implicitMode fs.FileMode = 0o755

// put applies Put and Settle.
func (t *tx) put(ctx context.Context, c *Change) error {
	e := &record{item: c.Item, version: t.version(), written: t.now, born: t.n.ops}
	at, ok, err := t.entry(ctx, c.Path)
	if err != nil {
		return err
	}
	clean := ok && at.version == c.Base || !ok && c.Base == Version{}
	if len(c.Resolves) > 0 {
		copies, err := t.openCopies(ctx, c)
		if err != nil {
			return err
		}
		if c.Action == Settle && (!clean || len(copies) != len(c.Resolves)) {
			return t.skip(ctx, c, Settled)
		}
		if err := t.settle(ctx, copies, e.version); err != nil {
			return err
		}
		for _, p := range copies {
			e.parents = append(e.parents, p.rec.version)
		}
	}
	if err := t.ref(ctx, &c.Item); err != nil {
		return err
	}
	e.item.Content = nil
	switch {
	case clean && ok:
		return t.replace(ctx, c.Path, at, e)
	case clean:
		return t.create(ctx, c.Path, e, "")
	}
	return t.putLate(ctx, c, e)
}

// putLate applies a Put whose author had not seen what is there now.
func (t *tx) putLate(ctx context.Context, c *Change, e *record) error {
	var p place
	var err error
	if c.Base != (Version{}) {
		if p, err = t.locate(ctx, c.Base, c.Path); err != nil {
			return err
		}
	}
	if p.path != c.Path && (p.own || p.how == deleted) {
		// Its author looks for it at the path where it was put until the move is seen there.
		e.moved = t.now
	}
	path := c.Path
	switch p.how {
	case here:
		return t.replace(ctx, p.path, p.rec, e)
	case replaced:
		seen, ok, err := t.former(ctx, c.Base)
		switch {
		case err != nil:
			return err
		case ok && sameContent(&seen.item, &p.rec.item):
			// What is there has the content that the author saw.
			return t.replace(ctx, p.path, p.rec, e)
		case ok && sameContent(&seen.item, &e.item):
			// A new mode or time of what was edited meanwhile.
			return t.absorb(ctx, p.path, p.rec, e, "")
		}
		fallthrough
	case deleted:
		path = p.path
		if err := t.link(ctx, e, c.Base); err != nil {
			return err
		}
	}
	return t.arrive(ctx, path, e, "")
}

// replace puts e where its author saw old.
func (t *tx) replace(ctx context.Context, path string, old, e *record) error {
	if old.item.Kind == Dir && e.item.Kind != Dir {
		full, err := t.hasBelow(ctx, path)
		if err != nil {
			return err
		}
		if full {
			return t.copyBeside(ctx, path, e, "")
		}
	}
	return t.supersede(ctx, path, old, e, "")
}

// supersede puts e over old, which becomes its history. It stays a conflict copy
// if it was one.
func (t *tx) supersede(ctx context.Context, path string, old, e *record, from string) error {
	e.parents = append(e.parents, old.version)
	if e.conflict = old.conflict && e.item.Kind != Dir; old.conflict && !e.conflict {
		if err := t.unlistCopy(ctx, path); err != nil {
			return err
		}
	}
	if old.item.Kind == Dir {
		clear(t.dirs)
	}
	if old.forwarded() {
		if err := t.s.Del(ctx, versionKey(keyForward, old.version)); err != nil {
			return err
		}
	}
	if err := t.retire(ctx, path, old, e.version); err != nil {
		return err
	}
	t.count(old, -1)
	if err := t.write(ctx, path, e); err != nil {
		return err
	}
	if e.forwarded() {
		if err := t.s.Put(ctx, versionKey(keyForward, e.version), []byte(path)); err != nil {
			return err
		}
	}
	return t.effects.add(ctx, Effect{What: Wrote, Path: path, From: from, Before: old.version, After: e.version})
}

// arrive puts e at a path whatever is there. e is new, or was taken from another
// path just now. Nothing of the two is lost.
func (t *tx) arrive(ctx context.Context, path string, e *record, from string) error {
	at, ok, err := t.entry(ctx, path)
	if err != nil {
		return err
	}
	if !ok {
		return t.create(ctx, path, e, from)
	}
	wins, err := t.newer(ctx, e.placed(), e.version, at.placed(), at.version)
	if err != nil {
		return err
	}
	if at.implicit != e.implicit { // what somebody made counts more
		wins = at.implicit
	}
	switch {
	case same(&at.item, &e.item), !wins && sameContent(&at.item, &e.item):
		return t.absorb(ctx, path, at, e, from)
	case sameContent(&at.item, &e.item):
		return t.supersede(ctx, path, at, e, from)
	case at.item.Kind == Dir, e.item.Kind != Dir && !wins:
		return t.copyBeside(ctx, path, e, from)
	}
	of, err := t.moveAside(ctx, path, at)
	if err != nil {
		return err
	}
	if at.conflict && e.item.Kind != Dir {
		if err := t.listCopy(ctx, path, of, e); err != nil {
			return err
		}
	}
	return t.create(ctx, path, e, from)
}

// absorb keeps e in the history of what is at a path.
func (t *tx) absorb(ctx context.Context, path string, at, e *record, from string) error {
	if err := t.retire(ctx, path, e, at.version); err != nil {
		return err
	}
	if len(at.parents) >= maxParents {
		// Its history goes on behind e, so that the list stays short.
		f := former{record: *e, path: path, next: at.version, died: t.n.ops, gone: t.now, links: 1}
		f.conflict, f.moved = false, stamp{}
		f.parents = append(f.parents, at.parents[maxParents-1:]...)
		at.parents = at.parents[:maxParents-1]
		if err := t.s.Put(ctx, versionKey(keyHistory, e.version), f.append(nil)); err != nil {
			return err
		}
	}
	at.parents = append(at.parents, e.version)
	if err := t.rewrite(ctx, path, at); err != nil {
		return err
	}
	return t.effects.add(ctx, Effect{What: Absorbed, Path: path, From: from, Before: at.version, After: e.version})
}

// create puts e where nothing is. Directories above come into being; files that are
// in the way of them become conflict copies.
func (t *tx) create(ctx context.Context, path string, e *record, from string) error {
	if err := t.makeDirs(ctx, parent(path)); err != nil {
		return err
	}
	if err := t.write(ctx, path, e); err != nil {
		return err
	}
	if e.forwarded() {
		if err := t.s.Put(ctx, versionKey(keyForward, e.version), []byte(path)); err != nil {
			return err
		}
	}
	what := Wrote
	if from != "" {
		what = Moved
	}
	return t.effects.add(ctx, Effect{What: what, Path: path, From: from, After: e.version})
}

// makeDirs makes dir and what is above it directories.
func (t *tx) makeDirs(ctx context.Context, dir string) error {
	if dir == "" {
		return nil
	}
	if _, ok := t.dirs[dir]; ok {
		return nil
	}
	at, ok, err := t.entry(ctx, dir)
	if err != nil {
		return err
	}
	if !ok || at.item.Kind != Dir {
		if ok {
			if _, err := t.moveAside(ctx, dir, at); err != nil {
				return err
			}
		}
		if err := t.makeDirs(ctx, parent(dir)); err != nil {
			return err
		}
		t.extra++
		e := &record{item: Item{Kind: Dir, Mode: implicitMode, Modified: clockTime(t.now.at)}, version: t.by.dirVersion(t.index, t.extra),
			written: t.now, born: t.n.ops, implicit: true}
		if err := t.write(ctx, dir, e); err != nil {
			return err
		}
		if err := t.effects.add(ctx, Effect{What: Wrote, Path: dir, After: e.version}); err != nil {
			return err
		}
	}
	t.dirs[dir] = struct{}{}
	return nil
}

// openCopies returns the conflict copies that a change is to settle, as far as they
// are open.
func (t *tx) openCopies(ctx context.Context, c *Change) ([]place, error) {
	var open []place
	for i, v := range c.Resolves {
		if slices.Contains(c.Resolves[:i], v) {
			continue
		}
		p, err := t.locate(ctx, v, c.Path)
		if err != nil {
			return nil, err
		}
		if p.how == here && p.rec.conflict && p.path != c.Path {
			open = append(open, p)
		}
	}
	return open, nil
}

// settle takes conflict copies out of the tree, into the history of next or, if that
// is zero, into the trash.
func (t *tx) settle(ctx context.Context, copies []place, next Version) error {
	for _, p := range copies {
		if err := t.remove(ctx, p.path, p.rec, next); err != nil {
			return err
		}
	}
	return nil
}

// remove takes an entry out of the tree, into the history of next or, if that is
// zero, into the trash.
func (t *tx) remove(ctx context.Context, path string, e *record, next Version) error {
	if err := t.lift(ctx, path, e); err != nil {
		return err
	}
	if err := t.retire(ctx, path, e, next); err != nil {
		return err
	}
	return t.effects.add(ctx, Effect{What: Removed, Path: path, Before: e.version})
}
