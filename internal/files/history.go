package files

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// maxChanges is how many changes of one version are listed.
const maxChanges = 1000

// Version is one state in the history of a drive.
type Version struct {
	Version uint64
	// Time is when the writer says it made the version; zero when unknown.
	Time time.Time
	// Author is the public key that signs the drive.
	Author  string
	Changes []Change
	// Omitted counts the changes beyond those listed.
	Omitted uint64
}

// Change is the difference of one path between two states.
type Change struct {
	// Op is "add", "change" or "remove".
	Op               string
	Path             string
	Size, SizeBefore uint64
}

// History yields the versions that changed the reading's path or anything below
// it, newest first.
func (r *Reading) History() iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		author := r.author()
		var v Version
		send := func(older uint64) bool {
			if v.Version == 0 {
				return true
			}
			if err := r.compare(v.Changes, older); err != nil {
				yield(Version{}, explain(r.ctx, err))
				return false
			}
			slices.SortFunc(v.Changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
			return yield(v, nil)
		}
		for c, err := range r.View.History(r.ctx, r.Place.Path) {
			if err != nil {
				yield(Version{}, explain(r.ctx, err))
				return
			}
			if v.Version != c.Version {
				if !send(c.Version) {
					return
				}
				v = Version{Version: c.Version, Time: c.Time, Author: author}
			}
			if len(v.Changes) == maxChanges {
				v.Omitted++
				continue
			}
			change := Change{Op: "remove", Path: c.Path}
			if c.Entry != nil {
				change.Op = "change"
				if change.Size, err = r.View.Size(r.ctx, c.Entry); err != nil {
					yield(Version{}, explain(r.ctx, fmt.Errorf("size of %s: %w", c.Path, err)))
					return
				}
			}
			v.Changes = append(v.Changes, change)
		}
		send(1)
	}
}

// compare completes changes that were made to an older version: it says which
// paths are new, and how large the others were.
func (r *Reading) compare(changes []Change, older uint64) error {
	view, err := r.drive.Checkout(older)
	if err != nil {
		return err
	}
	defer view.Close()
	for i := range changes {
		c := &changes[i]
		e, err := view.Entry(r.ctx, c.Path)
		switch {
		case errors.Is(err, hyperdrive.ErrNotFound):
			if c.Op == "change" {
				c.Op = "add"
			}
		case errors.Is(err, hyperbee.ErrNotAVersion), errors.Is(err, hyperdrive.ErrEntry):
			// Other software wrote that; what was changed is all that can be said.
		case err != nil:
			return fmt.Errorf("%s in version %d: %w", c.Path, older, err)
		default:
			if c.SizeBefore, err = view.Size(r.ctx, e); err != nil {
				return fmt.Errorf("size of %s in version %d: %w", c.Path, older, err)
			}
		}
	}
	return nil
}

// author returns the key of the drive's only signer, or nothing.
func (r *Reading) author() string {
	m := r.drive.Core().Manifest()
	if m == nil || len(m.Signers) != 1 {
		return ""
	}
	return m.Signers[0].PublicKey.String()
}

// Diff yields how an older state becomes the reading's. With the zero State that
// is the state before the last change.
func (r *Reading) Diff(from State) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		err := r.diff(from, func(c Change) bool { return yield(c, nil) })
		if err != nil {
			yield(Change{}, explain(r.ctx, err))
		}
	}
}

func (r *Reading) diff(from State, yield func(Change) bool) error {
	var version uint64
	var err error
	if from == (State{}) {
		version, err = r.before()
	} else {
		version, err = r.Place.version(r.ctx, r.drive, from)
	}
	if err != nil {
		return err
	}
	old, err := r.drive.Checkout(version)
	if err != nil {
		return err
	}
	defer old.Close()
	for d, err := range r.View.Diff(r.ctx, old, r.Place.Path) {
		if err != nil {
			return err
		}
		c, same, err := r.change(d)
		if err != nil {
			return err
		}
		if !same && !yield(c) {
			return nil
		}
	}
	return nil
}

// before returns the version before the last change of the reading's path.
func (r *Reading) before() (uint64, error) {
	last := uint64(0)
	for c, err := range r.View.History(r.ctx, r.Place.Path) {
		switch {
		case err != nil:
			return 0, err
		case last != 0 && c.Version != last:
			return c.Version, nil
		}
		last = c.Version
	}
	return 1, nil
}

// change describes a difference. same is true when an entry was written again
// without a visible change.
func (r *Reading) change(d hyperdrive.Difference) (c Change, same bool, err error) {
	c.Path = d.Path
	if d.New != nil {
		if c.Size, err = r.View.Size(r.ctx, d.New); err != nil {
			return c, false, err
		}
	}
	if d.Old != nil {
		if c.SizeBefore, err = r.View.Size(r.ctx, d.Old); err != nil {
			return c, false, err
		}
	}
	switch {
	case d.Old == nil:
		c.Op = "add"
	case d.New == nil:
		c.Op = "remove"
	default:
		c.Op = "change"
		same = d.New.Linkname == d.Old.Linkname && d.New.Executable == d.Old.Executable && sameBlob(d.New, d.Old)
	}
	return c, same, nil
}

func sameBlob(a, b *hyperdrive.Entry) bool {
	if a.Blob == nil || b.Blob == nil {
		return a.Blob == b.Blob
	}
	return *a.Blob == *b.Blob
}
