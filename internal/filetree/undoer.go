package filetree

import (
	"context"
	"maps"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// spot is what is at a path once the plan is carried out.
type spot struct {
	there bool
	item  Item
	// version is what a change needs to name, if known.
	version Version
	// change is the position of the planned change that puts it there, -1 for none.
	change int
	author hypercrypto.PublicKey
}

// undoer makes a plan.
type undoer struct {
	v       *View
	changes []Change
	left    []Unplanned
	plan    map[string]*spot
	moves   []Change // planned, of directories
}

func (u *undoer) leave(path, why string, s *spot) {
	x := Unplanned{Path: path, Why: why}
	if s != nil {
		x.By = s.author
	}
	u.left = append(u.left, x)
}

// at returns what is at a path once what is planned so far is carried out.
func (u *undoer) at(ctx context.Context, path string) (*spot, error) {
	if s := u.plan[path]; s != nil {
		return s, nil
	}
	for _, m := range slices.Backward(u.moves) {
		if within(path, m.Path) {
			path = rebase(path, m.Path, m.From)
		} else if within(path, m.From) {
			return &spot{change: -1}, nil
		}
	}
	e, ok, err := u.v.Lookup(ctx, path)
	return &spot{there: ok, item: e.Item, version: e.Version, change: -1, author: e.Author}, err
}

// is tells whether a spot holds a version, or what equals it.
func (u *undoer) is(ctx context.Context, s *spot, path string, v Version) (bool, error) {
	if !s.there || s.version == v {
		return s.there, nil
	}
	p, ok, err := u.v.Version(ctx, path, v)
	return ok && same(&p.Item, &s.item), err
}

func (u *undoer) takeBack(ctx context.Context, e Effect) error {
	switch e.What {
	case Wrote:
		if err := u.unwrite(ctx, e); err != nil || e.From == "" {
			return err
		}
		return u.restore(ctx, e.From, e.After)
	case Removed:
		return u.restore(ctx, e.Path, e.Before)
	case Moved, MovedAside:
		return u.unmove(ctx, e)
	case Absorbed:
		if e.From != "" {
			return u.restore(ctx, e.From, e.After)
		}
	case Dropped:
		u.leave(e.Path, "what is not kept any more cannot come back", nil)
	}
	return nil
}

func (u *undoer) unwrite(ctx context.Context, e Effect) error {
	s, err := u.at(ctx, e.Path)
	if err != nil {
		return err
	}
	unchanged, err := u.is(ctx, s, e.Path, e.After)
	switch {
	case err != nil:
		return err
	case !s.there:
		u.leave(e.Path, "it was deleted or moved since", nil)
		return nil
	case !unchanged:
		u.leave(e.Path, "it was changed since", s)
		return nil
	case e.Before == Version{}:
		return u.remove(ctx, e.Path, s)
	}
	p, ok, err := u.v.Version(ctx, e.Path, e.Before)
	if err != nil {
		return err
	}
	if !ok {
		u.leave(e.Path, "what was there is not kept any more", nil)
		return nil
	}
	u.set(e.Path, s, p.Item)
	return nil
}

// set plans to put an item where something is.
func (u *undoer) set(path string, s *spot, it Item) {
	c := Change{Action: Put, Path: path, Base: s.version, Item: it}
	if s.change >= 0 { // the plan put it there; now it puts this
		c.Base, c.Path = u.changes[s.change].Base, u.changes[s.change].Path
		u.changes[s.change] = c
		u.plan[path] = &spot{there: true, item: it, change: s.change}
		return
	}
	u.changes = append(u.changes, c)
	u.plan[path] = &spot{there: true, item: it, change: len(u.changes) - 1}
}

// remove plans to delete what is at a path.
func (u *undoer) remove(ctx context.Context, path string, s *spot) error {
	if s.item.Kind == Dir {
		full, err := u.full(ctx, path)
		if err != nil {
			return err
		}
		if full {
			u.leave(path, "the directory is not empty", nil)
			return nil
		}
	}
	base := s.version
	if s.change >= 0 {
		base = u.changes[s.change].Base
		u.changes[s.change] = Change{}
	}
	u.plan[path] = &spot{change: -1}
	if base != (Version{}) {
		u.changes = append(u.changes, Change{Action: Delete, Path: path, Base: base})
	}
	return nil
}

// full tells whether anything is in a directory once what is planned is carried out.
func (u *undoer) full(ctx context.Context, dir string) (bool, error) {
	for path, s := range u.plan {
		if s.there && under(path, dir) {
			return true, nil
		}
	}
	for e, err := range u.v.Walk(ctx, dir) {
		if err != nil {
			return false, err
		}
		if s := u.plan[e.Path]; s == nil {
			moved := slices.ContainsFunc(u.moves, func(m Change) bool { return within(e.Path, m.From) })
			if !moved {
				return true, nil
			}
		}
	}
	return false, nil
}

// restore plans to put a version where nothing is.
func (u *undoer) restore(ctx context.Context, path string, v Version) error {
	s, err := u.at(ctx, path)
	if err != nil {
		return err
	}
	p, ok, err := u.v.Version(ctx, path, v)
	switch {
	case err != nil:
		return err
	case !ok:
		u.leave(path, "what was there is not kept any more", nil)
	case s.there && !same(&s.item, &p.Item):
		u.leave(path, "something else is there", s)
	case !s.there:
		u.changes = append(u.changes, Change{Action: Put, Path: path, Base: trashedBase(p), Item: p.Item})
		u.plan[path] = &spot{there: true, item: p.Item, change: len(u.changes) - 1}
	}
	return nil
}

// trashedBase returns the base of a Put that restores a version where nothing is.
func trashedBase(p Past) Version {
	if p.Fate == Trashed {
		return p.Version
	}
	return Version{}
}

func (u *undoer) unmove(ctx context.Context, e Effect) error {
	s, err := u.at(ctx, e.Path)
	if err != nil {
		return err
	}
	to, err := u.at(ctx, e.From)
	if err != nil {
		return err
	}
	unchanged, err := u.is(ctx, s, e.Path, e.After)
	switch {
	case err != nil:
		return err
	case !s.there:
		u.leave(e.Path, "it was deleted or moved since", nil)
	case !unchanged && s.item.Kind != Dir:
		u.leave(e.Path, "it was changed since", s)
	case to.there:
		u.leave(e.Path, "something else is where it was", to)
	case s.change >= 0:
		u.movePlanned(e, s)
	default:
		u.move(e, s)
		u.plan[e.From] = &spot{there: true, item: s.item, version: s.version, change: -1, author: s.author}
	}
	return nil
}

// move plans to move what is there now.
func (u *undoer) move(e Effect, s *spot) {
	c := Change{Action: Move, From: e.Path, Path: e.From, Base: s.version}
	u.changes = append(u.changes, c)
	if s.item.Kind == Dir {
		u.moves = append(u.moves, c)
		for path, inside := range u.plan {
			if inside.there && under(path, e.Path) {
				delete(u.plan, path)
				u.plan[rebase(path, e.Path, e.From)] = inside
			}
		}
	}
	u.plan[e.Path] = &spot{change: -1}
}

// movePlanned changes the plan for a path so that it comes about at another: what is
// there now moves before it is changed, and what is in the trash comes back there.
func (u *undoer) movePlanned(e Effect, s *spot) {
	put := u.changes[s.change]
	u.changes[s.change] = Change{}
	now := *s
	now.version = put.Base
	if put.Base != (Version{}) {
		u.move(e, &now)
	} else {
		u.plan[e.Path] = &spot{change: -1}
	}
	put.Path = e.From
	u.changes = append(u.changes, put)
	now.change = len(u.changes) - 1
	u.plan[e.From] = &now
	for _, path := range slices.SortedFunc(maps.Keys(u.plan), comparePaths) {
		inside := u.plan[path]
		if !inside.there || !under(path, e.Path) {
			continue
		}
		in := Effect{Path: path, From: rebase(path, e.Path, e.From)}
		if inside.change >= 0 {
			u.movePlanned(in, inside)
			continue
		}
		u.move(in, inside)
		u.plan[in.From] = inside
	}
}
