package filetree

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Tree is the tree as it was after some operation: the newest one, with what came
// later taken back.
type Tree struct {
	v *View
	// Seq is the position of that operation.
	Seq uint64
	// over is what was at paths that were touched later, zero for nothing.
	over map[string]Version
	// now is where versions that were touched later are: a path they came to.
	now map[Version]string
}

// At returns the tree as it was after the operation at a position; 0 is the empty
// tree. It takes time and memory for what was changed since. ErrForgotten if that is
// not known any more.
func (v *View) At(ctx context.Context, seq uint64) (*Tree, error) {
	t := &Tree{v: v, over: make(map[string]Version), now: make(map[Version]string)}
	n, err := v.totals(ctx)
	if err != nil {
		return nil, err
	}
	t.Seq = n.ops
	return t, t.back(ctx, seq, nil)
}

// back takes back what came after a position, and notes the paths in touched.
func (t *Tree) back(ctx context.Context, seq uint64, touched map[string]struct{}) error {
	if seq > t.Seq {
		return fmt.Errorf("go back to operation %d: the newest is %d", seq, t.Seq)
	}
	for rec, err := range t.v.Journal(ctx, t.Seq+1) {
		if err != nil {
			return err
		}
		if rec.Seq <= seq {
			break
		}
		for e, err := range t.v.effects(ctx, rec, true) {
			if err != nil {
				return err
			}
			t.takeBack(e, touched)
		}
	}
	t.Seq = seq
	return nil
}

func (t *Tree) takeBack(e Effect, touched map[string]struct{}) {
	set := func(path string, v Version) {
		t.over[path] = v
		if touched != nil {
			touched[path] = struct{}{}
		}
	}
	arrived := func() {
		if _, ok := t.now[e.After]; !ok {
			t.now[e.After] = e.Path
		}
	}
	switch e.What {
	case Wrote:
		arrived()
		set(e.Path, e.Before)
		if e.From != "" {
			set(e.From, e.After)
		}
	case Removed:
		set(e.Path, e.Before)
	case Moved, MovedAside:
		arrived()
		if at, ok := t.over[e.Path]; !ok || at == e.After {
			set(e.Path, Version{})
		} // else something came from Path by the same change
		set(e.From, e.After)
	case Absorbed:
		if e.From != "" {
			set(e.From, e.After)
		}
	}
}

// Lookup returns what was at a path, with Content. An entry that is not kept any more
// has no Kind.
func (t *Tree) Lookup(ctx context.Context, path string) (Entry, bool, error) {
	version, ok := t.over[path]
	if !ok {
		return t.v.Lookup(ctx, path)
	}
	if version == (Version{}) {
		return Entry{}, false, nil
	}
	e, err := t.find(ctx, path, version)
	return e, err == nil, err
}

func (t *Tree) find(ctx context.Context, path string, version Version) (Entry, error) {
	at, ok := t.now[version]
	if !ok {
		at = path
	}
	p, ok, err := t.v.Version(ctx, at, version)
	if err != nil {
		return Entry{}, fmt.Errorf("version of %q: %w", path, err)
	}
	if !ok {
		return Entry{Path: path, Version: version}, nil
	}
	p.Path = path
	return p.Entry, nil
}

// Walk yields what was below a directory, empty for the root, in the order of
// [View.Walk]. An entry that is not kept any more has no Kind.
func (t *Tree) Walk(ctx context.Context, dir string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var paths []string
		for path, version := range t.over {
			if under(path, dir) && version != (Version{}) {
				paths = append(paths, path)
			}
		}
		slices.SortFunc(paths, comparePaths)
		// earlier yields those of paths that come before one.
		earlier := func(path string) bool {
			for len(paths) > 0 && (path == "" || comparePaths(paths[0], path) < 0) {
				e, err := t.find(ctx, paths[0], t.over[paths[0]])
				paths = paths[1:]
				if !yield(e, err) || err != nil {
					return false
				}
			}
			return true
		}
		for e, err := range t.v.Walk(ctx, dir) {
			if err != nil {
				yield(e, err)
				return
			}
			if _, ok := t.over[e.Path]; ok {
				continue
			}
			if !earlier(e.Path) || !yield(e, nil) {
				return
			}
		}
		earlier("")
	}
}
