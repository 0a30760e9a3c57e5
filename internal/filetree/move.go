package filetree

import (
	"context"
	"slices"
	"strings"

	"github.com/tradle/cloudpal/hyper/compact"
)

// move applies Move.
func (t *tx) move(ctx context.Context, c *Change) error {
	p, err := t.locate(ctx, c.Base, c.From)
	if err != nil {
		return err
	}
	to := c.Path
	switch p.how {
	case gone:
		return t.skip(ctx, c, NotThere)
	case deleted:
		return t.moveDeleted(ctx, to, p)
	}
	if p.from != "" && under(to, p.from) {
		// The directory that both are in was moved.
		if moved := rebase(to, p.from, p.to); CheckPath(moved) == nil {
			to = moved
		}
	}
	if p.path == to {
		return t.skip(ctx, c, MovedAway)
	}
	if p.own && p.path != c.From && !p.rec.conflict {
		last, err := t.newer(ctx, t.now, t.version(), p.rec.placed(), p.rec.version)
		if err != nil {
			return err
		}
		if !last {
			return t.skip(ctx, c, MovedAway)
		}
	}
	if under(to, p.path) || under(p.path, to) {
		return t.skip(ctx, c, IntoItself)
	}
	if p.rec.item.Kind == Dir {
		return t.moveDir(ctx, c, p.path, to, p.rec)
	}
	return t.moveEntry(ctx, p.path, to, p.rec)
}

// moveDeleted restores what was deleted meanwhile: who moves something wants to
// have it.
func (t *tx) moveDeleted(ctx context.Context, to string, p place) error {
	f := p.trashed
	if err := t.untrash(ctx, f, false); err != nil {
		return err
	}
	e := f.record
	e.moved = t.now
	return t.arrive(ctx, to, &e, "")
}

// moveEntry moves what is no directory.
func (t *tx) moveEntry(ctx context.Context, from, to string, e *record) error {
	if err := t.lift(ctx, from, e); err != nil {
		return err
	}
	e.conflict = false
	e.moved = t.now
	return t.arrive(ctx, to, e, from)
}

// child is an entry in a directory that is moved.
type child struct {
	path  string
	value []byte
}

// moveDir moves a directory with all that is in it.
func (t *tx) moveDir(ctx context.Context, c *Change, from, to string, dir *record) error {
	var children []child
	for kv, err := range t.Entries(ctx, below(keyEntry, from)) {
		if err != nil {
			return err
		}
		x := child{keyPath(kv.Key), kv.Value}
		if t.left--; t.left < 0 || CheckPath(rebase(x.path, from, to)) != nil {
			return t.skip(ctx, c, TooLarge)
		}
		children = append(children, x)
	}
	copies, err := t.copiesBelow(ctx, from)
	if err != nil {
		return err
	}
	if err := t.noteDirMove(ctx, from, to); err != nil {
		return err
	}
	if err := t.lift(ctx, from, dir); err != nil {
		return err
	}
	dir.implicit = false
	dir.moved = t.now
	at, ok, err := t.entry(ctx, to)
	if err != nil {
		return err
	}
	if err := t.arrive(ctx, to, dir, from); err != nil {
		return err
	}
	if ok && at.item.Kind == Dir {
		return t.mergeDir(ctx, from, to, children)
	}
	// Nothing is below the target yet, so nothing can be in the way.
	for _, x := range children {
		path := rebase(x.path, from, to)
		v, err := t.rekey(ctx, x, path)
		if err != nil {
			return err
		}
		if err := t.effects.add(ctx, Effect{What: Moved, Path: path, From: x.path, After: v}); err != nil {
			return err
		}
	}
	return t.moveCopies(ctx, copies, from, to)
}

// rekey puts the value of an entry under another path.
func (t *tx) rekey(ctx context.Context, x child, path string) (v Version, err error) {
	t.key = pathKey(t.key[:0], keyEntry, x.path)
	if err := t.s.Del(ctx, t.key); err != nil {
		return v, err
	}
	t.key = pathKey(t.key[:0], keyEntry, path)
	if err := t.s.Put(ctx, t.key, x.value); err != nil {
		return v, err
	}
	r := compact.NewReader(x.value)
	flags := r.Uint()
	copy(v[:], r.Fixed(len(v)))
	if flags&(recordConflict|recordMoved) == 0 {
		return v, nil
	}
	return v, t.s.Put(ctx, versionKey(keyForward, v), []byte(path))
}

// mergeDir moves entries into a directory that has some of its own. All of them
// leave their places before the first comes to a new one.
func (t *tx) mergeDir(ctx context.Context, from, to string, children []child) error {
	type lifted struct {
		path, of string
		rec      *record
	}
	moving := make([]lifted, 0, len(children))
	for _, x := range children {
		e, err := decode(x.value, readRecord)
		if err != nil {
			return err
		}
		of, err := t.copyOf(ctx, x.path, &e)
		if err != nil {
			return err
		}
		if err := t.lift(ctx, x.path, &e); err != nil {
			return err
		}
		moving = append(moving, lifted{x.path, of, &e})
	}
	for _, m := range moving {
		path := rebase(m.path, from, to)
		if m.rec.conflict {
			_, taken, err := t.entry(ctx, path)
			if err != nil {
				return err
			}
			if m.rec.conflict = false; !taken {
				if within(m.of, from) {
					m.of = rebase(m.of, from, to)
				}
				if err := t.listCopy(ctx, path, m.of, m.rec); err != nil {
					return err
				}
			}
		}
		if err := t.arrive(ctx, path, m.rec, m.path); err != nil {
			return err
		}
	}
	return nil
}

// conflictCopy is an item of the list of conflicts.
type conflictCopy struct{ path, of string }

func (t *tx) copiesBelow(ctx context.Context, dir string) (out []conflictCopy, err error) {
	if t.n.conflicts == 0 {
		return nil, nil
	}
	for kv, err := range t.Entries(ctx, below(keyConflict, dir)) {
		if err != nil {
			return nil, err
		}
		out = append(out, conflictCopy{keyPath(kv.Key), string(kv.Value)})
	}
	return out, nil
}

// moveCopies changes the paths in the list of conflicts.
func (t *tx) moveCopies(ctx context.Context, copies []conflictCopy, from, to string) error {
	for _, c := range copies {
		if err := t.s.Del(ctx, pathKey(nil, keyConflict, c.path)); err != nil {
			return err
		}
		of := c.of
		if within(of, from) {
			of = rebase(of, from, to)
		}
		if err := t.s.Put(ctx, pathKey(nil, keyConflict, rebase(c.path, from, to)), []byte(of)); err != nil {
			return err
		}
	}
	return nil
}

// noteDirMove remembers where a directory went, for changes whose authors had not
// seen it.
func (t *tx) noteDirMove(ctx context.Context, from, to string) error {
	targets, err := t.dirTargets(ctx, from)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		t.n.dirMoves++
	}
	targets = slices.DeleteFunc(targets, func(s string) bool { return s == to })
	targets = slices.Insert(targets, 0, strings.Clone(to))
	targets = targets[:min(len(targets), maxDirTargets)]
	b := compact.AppendUint(nil, uint64(len(targets)))
	for _, s := range targets {
		b = compact.AppendString(b, s)
	}
	return t.s.Put(ctx, pathKey(nil, keyDirMove, from), b)
}
