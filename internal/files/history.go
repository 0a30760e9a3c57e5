package files

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/internal/fault"
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
	// Op is "add", "change", "write" (one of the two) or "remove".
	Op               string
	Path             string
	Size, SizeBefore uint64
}

// History yields the versions that changed the reading's path or anything below
// it, newest first.
func (r *Reading) History() iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		send := func(v Version) bool {
			slices.SortFunc(v.Changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
			return yield(v, nil)
		}
		author := r.author()
		var v Version
		for c, err := range r.View.History(r.ctx, r.Place.Path) {
			if err != nil {
				yield(Version{}, explain(r.ctx, err))
				return
			}
			if v.Version != c.Version {
				if v.Version != 0 && !send(v) {
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
				change.Op = "write"
				if change.Size, err = r.View.Size(r.ctx, c.Entry); err != nil {
					yield(Version{}, explain(r.ctx, fmt.Errorf("size of %s: %w", c.Path, err)))
					return
				}
			}
			v.Changes = append(v.Changes, change)
		}
		if v.Version != 0 {
			send(v)
		}
	}
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
	version := from.Version
	var err error
	switch {
	case !from.At.IsZero():
		version, err = r.drive.VersionAt(r.ctx, from.At)
	case version == 0:
		version, err = r.before()
	case version > r.Newest:
		err = fault.New(fault.NotFound, "there is no version %d; the newest is %d", version, r.Newest)
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

// before returns the version before the one that is read.
func (r *Reading) before() (uint64, error) {
	first := true
	for v, err := range r.History() {
		if err != nil {
			return 0, err
		}
		if !first {
			return v.Version, nil
		}
		first = false
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
