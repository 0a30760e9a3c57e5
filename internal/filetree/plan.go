package filetree

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Encode splits changes into operations that are as large as allowed, and encodes
// them. The order of changes stays. like gives what the operations have in common.
func Encode(like Op, changes []Change) ([][]byte, error) {
	var out [][]byte
	for size := MaxChanges; len(changes) > 0; {
		n := min(size, len(changes))
		like.Changes = changes[:n]
		body, err := like.Encode()
		if errors.Is(err, ErrOpSize) && n > 1 {
			size = n / 2
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, body)
		changes, size = changes[n:], MaxChanges
	}
	return out, nil
}

// DeleteAll plans to delete what is at a path, with all that is below.
func (v *View) DeleteAll(ctx context.Context, path string) ([]Change, error) {
	top, ok, err := v.Lookup(ctx, path)
	if !ok || err != nil {
		return nil, err
	}
	out := []Change{{Action: Delete, Path: path, Base: top.Version}}
	for e, err := range v.Walk(ctx, path) {
		if err != nil {
			return nil, err
		}
		out = append(out, Change{Action: Delete, Path: e.Path, Base: e.Version})
	}
	slices.Reverse(out)
	return out, nil
}

// RestoreVersion plans to make a path hold a version that it, or what is there now,
// had before; or one from the trash.
func (v *View) RestoreVersion(ctx context.Context, path string, version Version) (Change, error) {
	p, ok, err := v.Version(ctx, path, version)
	if err != nil {
		return Change{}, err
	}
	if !ok {
		return Change{}, fmt.Errorf("restore %q: %w", path, ErrForgotten)
	}
	c := Change{Action: Put, Path: path, Base: trashedBase(p), Item: p.Item}
	at, ok, err := v.Lookup(ctx, path)
	if ok {
		c.Base = at.Version
	}
	return c, err
}

// Restore plans to make the tree at and below a path, empty for all, what it was in
// t, a tree of this view. What is the same already is not touched, and what only moved
// within the path moves back.
func (v *View) Restore(ctx context.Context, t *Tree, path string) ([]Change, []Unplanned, error) {
	r := restorer{v: v, t: t, top: path}
	touched := make([]string, 0, len(t.over))
	for p := range t.over {
		if path == "" || within(p, path) {
			touched = append(touched, p)
		}
	}
	slices.SortFunc(touched, comparePaths)
	for _, p := range touched {
		if err := r.path(ctx, p); err != nil {
			return nil, nil, fmt.Errorf("restore %q: %w", p, err)
		}
	}
	slices.Reverse(r.rmdirs) // the deepest first
	moved := make(map[string]bool)
	for _, c := range r.moves {
		moved[c.From] = true
	}
	r.deletes = slices.DeleteFunc(r.deletes, func(c Change) bool { return moved[c.Path] })
	return slices.Concat(r.deletes, r.mkdirs, r.moves, r.rmdirs, r.puts), r.left, nil
}

type restorer struct {
	v   *View
	t   *Tree
	top string

	// In the order in which they are applied: files make room for directories, then
	// come into them, then directories that nothing is left in make room for files.
	deletes, mkdirs, moves, rmdirs, puts []Change
	left                                 []Unplanned
}

func (r *restorer) path(ctx context.Context, path string) error {
	want, wanted, err := r.t.Lookup(ctx, path)
	if err != nil {
		return err
	}
	is, there, err := r.v.Lookup(ctx, path)
	if err != nil {
		return err
	}
	if wanted && want.Kind == 0 {
		r.left = append(r.left, Unplanned{Path: path, Why: "what was there is not kept any more"})
		return nil
	}
	put := Change{Action: Put, Path: path, Item: want.Item}
	if there {
		switch {
		case wanted && same(&is.Item, &want.Item):
			return nil
		case wanted && (is.Kind == Dir) == (want.Kind == Dir):
			put.Base = is.Version
		case is.Kind == Dir:
			r.rmdirs = append(r.rmdirs, Change{Action: Delete, Path: path, Base: is.Version})
		default:
			r.deletes = append(r.deletes, Change{Action: Delete, Path: path, Base: is.Version})
		}
	}
	if !wanted {
		return nil
	}
	if want.Kind == Dir {
		r.mkdirs = append(r.mkdirs, put)
		return nil
	}
	if !there {
		from, ok, err := r.movedTo(ctx, want)
		if err != nil {
			return err
		}
		if ok {
			r.moves = append(r.moves, Change{Action: Move, From: from, Path: path, Base: want.Version})
			return nil
		}
		p, ok, err := r.v.Version(ctx, path, want.Version)
		if err != nil {
			return err
		}
		if ok && p.Path == path {
			put.Base = trashedBase(p)
		}
	}
	r.puts = append(r.puts, put)
	return nil
}

// movedTo returns where an entry is now, if it can move back.
func (r *restorer) movedTo(ctx context.Context, want Entry) (string, bool, error) {
	from, ok := r.t.now[want.Version]
	if !ok || !within(from, r.top) && r.top != "" {
		return "", false, nil
	}
	if was, touched := r.t.over[from]; !touched || was != (Version{}) {
		return "", false, nil
	}
	e, ok, err := r.v.Lookup(ctx, from)
	return from, ok && e.Version == want.Version, err
}

// Settle plans to settle a conflict with a content: the copy's, the original's, or
// one merged of both. Of is where the copy's or the merged content goes.
func (c *Conflict) Settle(it Item) Change {
	out := Change{Action: Settle, Path: c.Of, Item: it, Resolves: []Version{c.Copy.Version}}
	if c.Original != nil {
		out.Base = c.Original.Version
	}
	return out
}

// KeepOriginal plans to settle a conflict by deleting the copy.
func (c *Conflict) KeepOriginal() Change {
	return Change{Action: Delete, Path: c.Copy.Path, Base: c.Copy.Version}
}

// KeepCopy plans to settle a conflict by putting the copy in the original's place.
func (c *Conflict) KeepCopy() Change { return c.Settle(c.Copy.Item) }

// Merger tells whether a device is the one to merge a conflict of plain text, if that
// is possible: the one that wrote the copy. Others do so after a while if it does not;
// since a merge gives the same on all devices, two of them do no harm.
func (c *Conflict) Merger(device hypercrypto.PublicKey) bool { return device == c.Copy.Author }
