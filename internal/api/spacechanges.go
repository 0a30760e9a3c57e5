package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// Kept says that something was written to a space, or what was left as it is.
type Kept struct {
	Type string `json:"type"`
	// Changes is how many there were.
	Changes int `json:"changes"`
	// Left is what was left as it is, because somebody changed it since.
	Left []Left `json:"left,omitempty"`
}

// Left is something that was left as it is.
type Left struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// TypeKept is the event of [Kept].
const TypeKept = "kept"

// commit writes a plan and reports it.
func commit(ctx context.Context, f *spacefs.Files, changes []filetree.Change, left []filetree.Unplanned, s *Stream) error {
	if _, err := f.Commit(ctx, changes); err != nil {
		return err
	}
	return sendKept(len(changes), left, s)
}

func sendKept(changes int, left []filetree.Unplanned, s *Stream) error {
	out := Kept{Type: TypeKept, Changes: changes}
	for _, l := range left {
		out.Left = append(out.Left, Left{l.Path, l.Why})
	}
	return s.Send(TypeKept, out)
}

func (h *handler) restoreOfSpace(ctx context.Context, t spaceTarget, r *RestoreRequest, s *Stream) error {
	if r.State.isNewest() {
		return fault.New(fault.Usage, "say which version to bring back").Hint("--version N, as \"log\" lists them, or --at TIME")
	}
	return t.stateOf(ctx, h, r.State, func(f *spacefs.Files, v *filetree.View, past *filetree.Tree) error {
		if t.path != "" {
			_, was, err := past.Lookup(ctx, t.path)
			_, is, err2 := v.Lookup(ctx, t.path)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if !was && !is {
				return fault.New(fault.NotFound, "space %q has nothing at %q, neither now nor in that version", t.space.Name(), t.path)
			}
		}
		changes, left, err := f.Restore(ctx, t.path, past.Seq)
		if err != nil {
			return err
		}
		return sendKept(changes, left, s)
	})
}

// UndoRequest takes back the last operations of this device in a space, those that were
// not taken back yet, or redoes what was. What somebody else changed since stays. The
// answer is a [Kept].
type UndoRequest struct {
	// Space is the name of the space, or a place in it.
	Space string `json:"space"`
	Dir   string `json:"dir,omitempty"`
	// Count is how many operations; 0 is one.
	Count int  `json:"count,omitempty"`
	Redo  bool `json:"redo,omitempty"`
}

func (h *handler) undo(ctx context.Context, r UndoRequest, s *Stream) error {
	t, err := h.mustBeSpace(r.Space, r.Dir)
	if err != nil {
		return err
	}
	f := t.files(h)
	step := f.Undo
	if r.Redo {
		step = f.Redo
	}
	changes := 0
	var left []filetree.Unplanned
	for i := range max(r.Count, 1) {
		u, err := step(ctx)
		if err != nil && i == 0 {
			return err
		}
		if err != nil {
			break // there are fewer
		}
		changes += u.Changes
		left = append(left, u.Left...)
	}
	return sendKept(changes, left, s)
}

// ConflictsRequest lists the open conflicts of a space, or settles one. The answer holds
// a [Conflict] for each.
type ConflictsRequest struct {
	Space string `json:"space"`
	Dir   string `json:"dir,omitempty"`
	// Resolve is the path of a conflict copy, or a place in a space that is one. Keep is
	// "original" or "copy".
	Resolve string `json:"resolve,omitempty"`
	Keep    string `json:"keep,omitempty"`
}

// Conflict is a file that was changed in two places at once. Both are kept.
type Conflict struct {
	Type string `json:"type"`
	// Copy is the path of one of both, Of the path of the other.
	Copy string `json:"copy"`
	Of   string `json:"of"`
	// Size and Modified are those of the copy.
	Size     uint64    `json:"size"`
	Modified time.Time `json:"modified"`
	// Gone says that nothing is at Of any more.
	Gone bool `json:"gone,omitempty"`
}

// TypeConflict is the event of [Conflict].
const TypeConflict = "conflict"

func (h *handler) conflicts(ctx context.Context, r ConflictsRequest, s *Stream) error {
	if r.Resolve != "" {
		t, err := h.mustBeSpace(r.Resolve, r.Dir)
		if err != nil {
			return err
		}
		return h.resolve(ctx, t, r.Keep, s)
	}
	t, err := h.mustBeSpace(r.Space, r.Dir)
	if err != nil {
		return err
	}
	v, release := t.files(h).View()
	defer release()
	for c, err := range v.Conflicts(ctx) {
		if err != nil {
			return err
		}
		if !below(t.path, c.Copy.Path) {
			continue
		}
		if err := s.Send(TypeConflict, Conflict{TypeConflict, c.Copy.Path, c.Of, c.Copy.Size, c.Copy.Modified, c.Original == nil}); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) resolve(ctx context.Context, t spaceTarget, keep string, s *Stream) error {
	side, ok := map[string]spacefs.Keep{"original": spacefs.KeepOriginal, "copy": spacefs.KeepCopy}[keep]
	if !ok {
		return fault.New(fault.Usage, "%q cannot be kept", keep).Hint("keep the original or the copy")
	}
	if err := t.files(h).Resolve(ctx, t.path, side); err != nil {
		return err
	}
	return sendKept(1, nil, s)
}

// TrashRequest lists what was deleted in a space and can be restored, or restores it, or
// empties the trash. The answer holds a [Deleted] for each, or a [Kept].
type TrashRequest struct {
	Space string `json:"space"`
	Dir   string `json:"dir,omitempty"`
	// Restore brings back what is there named Space; Empty drops it for good.
	Restore bool `json:"restore,omitempty"`
	Empty   bool `json:"empty,omitempty"`
}

// Deleted is something in the trash.
type Deleted struct {
	Type string    `json:"type"`
	Path string    `json:"path"`
	Kind string    `json:"kind"`
	Size uint64    `json:"size"`
	At   time.Time `json:"at"`
}

// TypeDeleted is the event of [Deleted].
const TypeDeleted = "deleted"

func (h *handler) trash(ctx context.Context, r TrashRequest, s *Stream) error {
	t, err := h.mustBeSpace(r.Space, r.Dir)
	if err != nil {
		return err
	}
	f := t.files(h)
	v, release := f.View()
	defer release()
	var found []filetree.Deleted
	for d, err := range v.Trash(ctx) {
		if err != nil {
			return err
		}
		if !below(t.path, d.Path) {
			continue
		}
		if r.Restore || r.Empty {
			found = append(found, d)
			continue
		}
		e := entryOf(&d.Entry, d.Path)
		if err := s.Send(TypeDeleted, Deleted{TypeDeleted, d.Path, e.Kind, d.Size, d.At}); err != nil {
			return err
		}
	}
	switch {
	case !r.Restore && !r.Empty:
		return nil
	case len(found) == 0 && t.path != "":
		return fault.New(fault.NotFound, "nothing at %q is in the trash", t.path)
	case len(found) == 0:
		return sendKept(0, nil, s)
	case r.Empty:
		if err := f.EmptyTrash(ctx, t.path); err != nil {
			return err
		}
		return sendKept(len(found), nil, s)
	}
	changes, left, err := untrash(ctx, v, found)
	if err != nil {
		return err
	}
	return commit(ctx, f, changes, left, s)
}

// untrash plans to bring back what was deleted, of several things at one path what was
// deleted last. What is there now stays.
func untrash(ctx context.Context, v *filetree.View, found []filetree.Deleted) (changes []filetree.Change, left []filetree.Unplanned, err error) {
	newest := make(map[string]filetree.Deleted)
	for _, d := range found {
		if old, ok := newest[d.Path]; !ok || old.At.Before(d.At) {
			newest[d.Path] = d
		}
	}
	var paths []string
	for p := range newest {
		paths = append(paths, p)
	}
	slices.Sort(paths) // folders before what is in them
	for _, p := range paths {
		if _, taken, err := v.Lookup(ctx, p); err != nil {
			return nil, nil, err
		} else if taken {
			left = append(left, filetree.Unplanned{Path: p, Why: "something is there"})
			continue
		}
		c, err := v.RestoreVersion(ctx, p, newest[p].Version)
		if err != nil {
			return nil, nil, fmt.Errorf("restore %q: %w", p, err)
		}
		changes = append(changes, c)
	}
	return changes, left, nil
}

// SnapshotsRequest lists the snapshots of a space, or takes or drops one first. The answer
// holds a [Snapshot] for each.
type SnapshotsRequest struct {
	Space string `json:"space"`
	Dir   string `json:"dir,omitempty"`
	Take  string `json:"take,omitempty"`
	Drop  string `json:"drop,omitempty"`
}

// Snapshot is a version with a name, which is kept until it is dropped.
type Snapshot struct {
	Type    string    `json:"type"`
	Name    string    `json:"name"`
	Version uint64    `json:"version"`
	At      time.Time `json:"at"`
}

// TypeSnapshot is the event of [Snapshot].
const TypeSnapshot = "snapshot"

func (h *handler) snapshots(ctx context.Context, r SnapshotsRequest, s *Stream) error {
	t, err := h.mustBeSpace(r.Space, r.Dir)
	if err != nil {
		return err
	}
	f := t.files(h)
	if r.Take != "" {
		if err := f.TakeSnapshot(ctx, r.Take); err != nil {
			return err
		}
	}
	if r.Drop != "" {
		if err := f.DropSnapshot(ctx, r.Drop); err != nil {
			return err
		}
	}
	v, release := f.View()
	defer release()
	for x, err := range v.Snapshots(ctx) {
		if err != nil {
			return err
		}
		s.Send(TypeSnapshot, Snapshot{TypeSnapshot, x.Name, x.Seq, x.At})
	}
	return nil
}
