package filetree

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
)

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

// Since yields what is at each path that operations after one touched, in the order of
// [View.Walk]: as After of a difference that has no Before. It does so where the path is
// what it was before, too, for whoever saw something of what was in between.
func (v *View) Since(ctx context.Context, after uint64) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		n, err := v.Count(ctx)
		if err != nil {
			yield(Difference{}, err)
			return
		}
		touched := make(map[string]struct{})
		t, err := v.At(ctx, n.Ops)
		if err == nil {
			err = t.back(ctx, after, touched)
		}
		if err != nil {
			yield(Difference{}, err)
			return
		}
		for _, path := range slices.SortedFunc(maps.Keys(touched), comparePaths) {
			d := Difference{Path: path}
			e, ok, err := v.Lookup(ctx, path)
			if ok {
				d.After = &e
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
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
