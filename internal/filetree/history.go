package filetree

import (
	"context"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Fate is what became of a version.
type Fate uint8

// The fates.
const (
	// Current: it is in the tree.
	Current Fate = iota + 1
	// Replaced: something newer took its place.
	Replaced
	// Trashed: it was deleted and can be restored.
	Trashed
)

// Past is a version with what became of it.
type Past struct {
	// Entry has the path that it has, or had last.
	Entry
	Fate Fate
	// Left is when it left the tree, by whom LeftBy. Zero of a current one.
	Left   time.Time
	LeftBy hypercrypto.PublicKey

	born uint64
}

func (v *View) pastOf(ctx context.Context, f *former) (Past, error) {
	e, err := v.entryOf(ctx, f.path, &f.record)
	if err != nil {
		return Past{}, err
	}
	d, err := v.deviceOf(ctx, f.gone.device)
	p := Past{Entry: e, Fate: Replaced, Left: clockTime(f.gone.at), LeftBy: d.key, born: f.born}
	if f.deleted() {
		p.Fate = Trashed
	}
	if err == nil && e.Kind == File {
		p.Content, err = v.Content(ctx, e.Hash)
	}
	return p, err
}

// Version returns a version that is or was at a path, wherever it is now. ok is
// false if nothing is known of it.
func (v *View) Version(ctx context.Context, path string, version Version) (p Past, ok bool, err error) {
	f, ok, err := v.former(ctx, version)
	if err != nil {
		return Past{}, false, err
	}
	if ok {
		p, err = v.pastOf(ctx, f)
		return p, err == nil, err
	}
	at, err := v.locate(ctx, version, path)
	if err != nil || at.how != here {
		return Past{}, false, err
	}
	e, ok, err := v.Lookup(ctx, at.path)
	return Past{Entry: e, Fate: Current, born: at.rec.born}, ok, err
}

// History yields the versions of what is at a path, the newest first, also those that
// it had under other paths, and those of both sides of a conflict that was settled.
// Of a path where nothing is it is the history of what was deleted there last.
func (v *View) History(ctx context.Context, path string) iter.Seq2[Past, error] {
	return func(yield func(Past, error) bool) {
		p, ok, err := v.newestAt(ctx, path)
		if err != nil {
			yield(Past{}, err)
			return
		}
		if !ok {
			return
		}
		seen := map[Version]bool{p.Version: true}
		for todo := []Past{p}; len(todo) > 0; {
			i := 0
			for j := range todo {
				if todo[j].born > todo[i].born {
					i = j
				}
			}
			p := todo[i]
			todo[i] = todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !yield(p, nil) {
				return
			}
			for _, parent := range p.Parents {
				if seen[parent] {
					continue
				}
				seen[parent] = true
				f, ok, err := v.former(ctx, parent)
				if err == nil && ok {
					var past Past
					past, err = v.pastOf(ctx, f)
					todo = append(todo, past)
				}
				if err != nil {
					yield(Past{}, err)
					return
				}
			}
		}
	}
}

// newestAt returns what is at a path, or what was deleted there last.
func (v *View) newestAt(ctx context.Context, path string) (Past, bool, error) {
	rec, ok, err := v.entry(ctx, path)
	if err != nil {
		return Past{}, false, err
	}
	if ok {
		e, ok, err := v.Lookup(ctx, path)
		return Past{Entry: e, Fate: Current, born: rec.born}, ok, err
	}
	r := all(keyTrash)
	r.Reverse = true
	for kv, err := range v.Entries(ctx, r) {
		if err != nil {
			return Past{}, false, err
		}
		f, err := v.trashed(ctx, kv.Key)
		if err != nil {
			return Past{}, false, err
		}
		if f.path == path {
			p, err := v.pastOf(ctx, f)
			return p, err == nil, err
		}
	}
	return Past{}, false, nil
}

// maxAncestors bounds the search for a common ancestor.
const maxAncestors = 1000

// CommonAncestor returns the newest version that both of two entries come from: the
// base of a three-way merge. ok is false if none is kept.
func (v *View) CommonAncestor(ctx context.Context, a, b Entry) (p Past, ok bool, err error) {
	ofA, err := v.ancestors(ctx, a)
	if err != nil {
		return Past{}, false, err
	}
	ofB, err := v.ancestors(ctx, b)
	if err != nil {
		return Past{}, false, err
	}
	for version, f := range ofA {
		if g := ofB[version]; g == nil || ok && (f.born < p.born || f.born == p.born && string(version[:]) < string(p.Version[:])) {
			continue
		}
		if p, err = v.pastOf(ctx, f); err != nil {
			return Past{}, false, err
		}
		ok = true
	}
	return p, ok, nil
}

func (v *View) ancestors(ctx context.Context, e Entry) (map[Version]*former, error) {
	out := make(map[Version]*former)
	for todo := e.Parents; len(todo) > 0 && len(out) < maxAncestors; {
		version := todo[0]
		todo = todo[1:]
		if out[version] != nil {
			continue
		}
		f, ok, err := v.former(ctx, version)
		if err != nil {
			return nil, err
		}
		if ok {
			out[version] = f
			todo = append(todo[:len(todo):len(todo)], f.parents...)
		}
	}
	return out, nil
}
