package foldersync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/tradle/cloudpal/internal/filetree"
)

// Push and pull run at the same time, and each reads the tree some time before it changes
// the index. So that neither takes what the other does for a change of somebody else:
//
//   - The tree and the index do not differ by what is just being committed when pull looks
//     at the tree: it waits until the index knows of it.
//   - What push notes in the index after that is newer than what pull saw. Pull leaves these
//     paths alone and looks at them again.

// errOutdated says that push noted something about a path since pull looked at the tree.
var errOutdated = errors.New("what was seen of the tree is outdated")

// pushed is what push noted in the index since the pull that runs began.
type pushed struct {
	// tree is held, shared, from a commit, or a look at the tree, to the note of it in the
	// index, and alone when pull looks at the tree. It is locked before f.mu.
	tree sync.RWMutex

	pulling bool // what follows is kept; guarded by f.mu, as it is
	paths   map[string]struct{}
	was     map[filetree.Version]struct{} // what the index had at them
	all     bool                          // there are too many paths
}

// maxPushed is how many paths are remembered.
const maxPushed = 1 << 17

// notePushed applies an update that push makes; f.mu is held.
func (f *Folder) notePushed(u update) error {
	if x := &f.pushed; x.pulling && !x.all {
		for _, path := range u.delete {
			if err := f.noteOne(path); err != nil {
				return err
			}
		}
		for i := range u.put {
			if err := f.noteOne(u.put[i].path); err != nil {
				return err
			}
		}
		if len(x.paths) > maxPushed {
			x.paths, x.was, x.all = nil, nil, true
		}
	}
	return f.idx.apply(u)
}

func (f *Folder) noteOne(path string) error {
	f.pushed.paths[path] = struct{}{}
	r, known, err := f.idx.get(path)
	if known && r.kind != kindDir {
		f.pushed.was[r.version] = struct{}{}
	}
	return err
}

// pulling begins, or ends, that paths are remembered.
func (f *Folder) pulling(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := &f.pushed
	x.pulling, x.paths, x.was, x.all = on, nil, nil, false
	if on {
		x.paths, x.was = make(map[string]struct{}), make(map[filetree.Version]struct{})
	}
}

// outdated returns errOutdated if push noted something about a path since the pull began;
// f.mu is held.
func (f *Folder) outdated(path string) error {
	if _, known := f.pushed.paths[path]; known || f.pushed.all {
		return fmt.Errorf("%w: %s", errOutdated, path)
	}
	return nil
}

// outdatedEntry is outdated for what pull saw somewhere: also if push noted something where
// that was before it was moved.
func (f *Folder) outdatedEntry(e filetree.Entry) error {
	if _, known := f.pushed.was[e.Version]; known {
		return fmt.Errorf("%w: %s", errOutdated, e.Path)
	}
	return f.outdated(e.Path)
}

// forgetRecord deletes a record unless there is another by now.
func (f *Folder) forgetRecord(old *record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known, err := f.idx.get(old.path)
	if err != nil || !known {
		return err
	}
	if r != *old {
		f.dirty.add(old.path)
		return nil
	}
	return f.notePushed(update{delete: []string{old.path}})
}

// settled is a list that is read from the tree when all that was committed is in the index.
func (f *Folder) settled(list iter.Seq2[Difference, error]) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		f.pushed.tree.Lock()
		held := true
		release := func() {
			if held {
				held = false
				f.pushed.tree.Unlock()
			}
		}
		defer release()
		for d, err := range list {
			release()
			if !yield(d, err) {
				return
			}
		}
	}
}

// lookup is what the tree has at a path when all that was committed is in the index.
func (f *Folder) lookup(ctx context.Context, path string) (filetree.Entry, bool, error) {
	f.pushed.tree.Lock()
	defer f.pushed.tree.Unlock()
	return f.tree.Lookup(ctx, path)
}
