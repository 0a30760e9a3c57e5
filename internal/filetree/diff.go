package filetree

import (
	"context"
	"fmt"
	"iter"
	"maps"
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

// Difference is a path at which two trees have different versions.
type Difference struct {
	Path string
	// From is where After was in the tree before, if it was moved.
	From string
	// Before and After are what is at Path, nil for nothing. Of something moved
	// away, MovedTo is where it is in the other tree.
	Before, After *Entry
	MovedTo       string
}

// Diff yields the differences of the trees after two operations, in the order of
// [View.Walk]. It takes time and memory for what was changed since the earlier one.
func (v *View) Diff(ctx context.Context, from, to uint64) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		later, err := v.At(ctx, max(from, to))
		if err != nil {
			yield(Difference{}, err)
			return
		}
		touched := make(map[string]struct{})
		earlier := &Tree{v: NewView(v.Reader), Seq: later.Seq, over: maps.Clone(later.over), now: maps.Clone(later.now)}
		if err := earlier.back(ctx, min(from, to), touched); err != nil {
			yield(Difference{}, err)
			return
		}
		a, b := earlier, later
		if from > to {
			a, b = later, earlier
		}
		compare(ctx, a, b, touched, yield)
	}
}

// DiffViews yields the differences of the trees of two states of one space, in the
// order of [View.Walk]: also if operations came in between so that neither is a
// beginning of the other. It takes time and memory for what is different.
func DiffViews(ctx context.Context, from, to *View) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		touched, err := touchedBetween(ctx, from, to)
		if err != nil {
			yield(Difference{}, err)
			return
		}
		compare(ctx, &Tree{v: from}, &Tree{v: to}, touched, yield)
	}
}

func touchedBetween(ctx context.Context, a, b *View) (map[string]struct{}, error) {
	common, err := CommonPosition(ctx, a, b)
	if err != nil {
		return nil, err
	}
	touched := make(map[string]struct{})
	for _, v := range []*View{a, b} {
		t, err := v.At(ctx, common)
		if err != nil {
			return nil, err
		}
		for path := range t.over {
			touched[path] = struct{}{}
		}
	}
	return touched, nil
}

// CommonPosition returns the position of the last operation up to which two states of
// one space are the same.
func CommonPosition(ctx context.Context, a, b *View) (uint64, error) {
	na, err := a.totals(ctx)
	if err != nil {
		return 0, err
	}
	nb, err := b.totals(ctx)
	if err != nil {
		return 0, err
	}
	low, high := uint64(0), min(na.ops, nb.ops)
	for low < high {
		mid := low + (high-low+1)/2
		x, err := a.chainAt(ctx, mid)
		if err != nil {
			return 0, err
		}
		y, err := b.chainAt(ctx, mid)
		if err != nil {
			return 0, err
		}
		if x == y {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low, nil
}

func (v *View) chainAt(ctx context.Context, seq uint64) (chainHash, error) {
	o, ok, err := get(ctx, v, numberKey(keyOp, seq), readOpRecord)
	if err == nil && !ok {
		err = fmt.Errorf("%w: no operation %d", errState, seq)
	}
	return o.chain, err
}

// compare yields the differences of two trees at the touched paths.
func compare(ctx context.Context, a, b *Tree, touched map[string]struct{}, yield func(Difference, error) bool) {
	var list []Difference
	wasAt, isAt := make(map[Version]string), make(map[Version]string)
	for _, path := range slices.SortedFunc(maps.Keys(touched), comparePaths) {
		before, had, err := a.Lookup(ctx, path)
		if err != nil {
			yield(Difference{}, err)
			return
		}
		after, has, err := b.Lookup(ctx, path)
		if err != nil {
			yield(Difference{}, err)
			return
		}
		if had == has && before.Version == after.Version {
			continue
		}
		d := Difference{Path: path}
		if had {
			d.Before = &before
			wasAt[before.Version] = path
		}
		if has {
			d.After = &after
			isAt[after.Version] = path
		}
		list = append(list, d)
	}
	for _, d := range list {
		if d.After != nil {
			d.From = wasAt[d.After.Version]
		}
		if d.Before != nil {
			d.MovedTo = isAt[d.Before.Version]
		}
		if !yield(d, nil) {
			return
		}
	}
}
