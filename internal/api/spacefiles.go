package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// stateOf runs a function with the tree of a state.
func (t spaceTarget) stateOf(ctx context.Context, h *handler, st State, use func(f *spacefs.Files, v *filetree.View, past *filetree.Tree) error) error {
	f := t.files(h)
	v, release := f.View()
	defer release()
	if st.isNewest() {
		return use(f, v, nil)
	}
	seq, err := position(ctx, v, st)
	if err != nil {
		return err
	}
	past, err := v.At(ctx, seq)
	if errors.Is(err, filetree.ErrForgotten) {
		err = fault.New(fault.NotFound, "what was then is not kept any more")
	}
	if err != nil {
		return err
	}
	return use(f, v, past)
}

// lookup finds an entry in the newest state, or in a past one.
func lookup(ctx context.Context, v *filetree.View, past *filetree.Tree, p string) (filetree.Entry, error) {
	var e filetree.Entry
	var ok bool
	var err error
	if past != nil {
		e, ok, err = past.Lookup(ctx, p)
	} else {
		e, ok, err = v.Lookup(ctx, p)
	}
	switch {
	case err != nil:
		return e, err
	case !ok:
		return e, fault.New(fault.NotFound, "there is no %q", p).Hint("see what was there: cloudpal log, cloudpal trash")
	case e.Kind == 0:
		return e, fault.New(fault.NotFound, "%q as it was then is not kept any more", p)
	}
	return e, nil
}

func walk(ctx context.Context, v *filetree.View, past *filetree.Tree, dir string) iter.Seq2[filetree.Entry, error] {
	if past != nil {
		return past.Walk(ctx, dir)
	}
	return v.Walk(ctx, dir)
}

func (h *handler) listSpace(ctx context.Context, t spaceTarget, r *ListRequest, s *Stream) error {
	return t.stateOf(ctx, h, r.State, func(_ *spacefs.Files, v *filetree.View, past *filetree.Tree) error {
		if t.path != "" {
			e, err := lookup(ctx, v, past, t.path)
			if err != nil {
				return err
			}
			if e.Kind != filetree.Dir {
				return s.Send(TypeEntry, entryOf(&e, path.Base(t.path)))
			}
		}
		inside := func(p string) string { return strings.TrimPrefix(strings.TrimPrefix(p, t.path), "/") }
		for e, err := range walk(ctx, v, past, t.path) {
			if err != nil {
				return err
			}
			name := inside(e.Path)
			if r.Recursive && e.Kind == filetree.Dir || !r.Recursive && strings.Contains(name, "/") {
				continue
			}
			if err := s.Send(TypeEntry, entryOf(&e, name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func entryOf(e *filetree.Entry, name string) Entry {
	out := Entry{Type: TypeEntry, Path: name, Kind: "file", Size: e.Size, Executable: e.Kind == filetree.File && e.Mode&0o100 != 0, Linkname: e.Target, Modified: e.Modified}
	switch e.Kind {
	case filetree.Dir:
		out.Kind = "folder"
	case filetree.Symlink:
		out.Kind = "symlink"
	}
	return out
}

func (h *handler) contentOfSpace(w http.ResponseWriter, req *http.Request, t spaceTarget, r *ContentRequest) {
	ctx := req.Context()
	began := false
	err := t.stateOf(ctx, h, r.State, func(f *spacefs.Files, v *filetree.View, past *filetree.Tree) error {
		e, err := lookup(ctx, v, past, t.path)
		if err != nil {
			return err
		}
		if e.Kind != filetree.File {
			return fault.New(fault.Usage, "%q is no file", t.path)
		}
		leave, err := h.online(ctx, r.Connect, &Stream{err: errors.New("no events")})
		if err != nil {
			return err
		}
		defer leave()
		c, err := f.Open(ctx, e)
		if err != nil {
			return err
		}
		defer c.Close()
		start, length, err := parseRange(r.Range, e.Size)
		if err != nil {
			return err
		}
		if _, err := c.Seek(int64(start), io.SeekStart); err != nil {
			return err
		}
		header := w.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set("Trailer", ErrorTrailer)
		header.Set(SizeHeader, strconv.FormatUint(length, 10))
		w.WriteHeader(http.StatusOK)
		began = true
		_, err = io.CopyBuffer(w, io.LimitReader(onlyReader{c}, int64(length)), make([]byte, 256<<10))
		return err
	})
	switch {
	case err == nil:
	case !began:
		writeError(w, err)
	default:
		report, _ := json.Marshal(fault.ReportOf(err))
		w.Header().Set(ErrorTrailer, string(report))
	}
}

// onlyReader hides everything but Read.
type onlyReader struct{ io.Reader }

// maxListed limits the changes that are listed of one operation.
const maxListed = 20

func (h *handler) historyOfSpace(ctx context.Context, t spaceTarget, r *HistoryRequest, s *Stream) error {
	v, release := t.files(h).View()
	defer release()
	before := uint64(0)
	if !r.State.isNewest() {
		seq, err := position(ctx, v, r.State)
		if err != nil {
			return err
		}
		before = seq + 1
	}
	n := uint64(0)
	for rec, err := range v.Journal(ctx, before) {
		if err != nil {
			return err
		}
		out := Version{Type: TypeVersion, Version: rec.Seq, Time: rec.Time, Author: rec.Device.String(), Device: rec.DeviceName, Changes: []Change{}}
		for e, err := range v.Effects(ctx, rec) {
			if errors.Is(err, filetree.ErrForgotten) {
				break
			}
			if err != nil {
				return err
			}
			c, ok := effectOf(&e)
			if !ok || !(below(t.path, e.Path) || e.From != "" && below(t.path, e.From)) {
				continue
			}
			if len(out.Changes) < maxListed {
				if c.Size, err = sizeOf(ctx, v, &e); err != nil {
					return err
				}
				out.Changes = append(out.Changes, c)
			} else {
				out.Omitted++
			}
		}
		if len(out.Changes) == 0 && t.path != "" {
			continue
		}
		if err := s.Send(TypeVersion, out); err != nil {
			return err
		}
		if n++; n == r.Limit {
			return nil
		}
	}
	return nil
}

// sizeOf returns the size of what an operation wrote at a path, 0 if that is not known
// any more.
func sizeOf(ctx context.Context, v *filetree.View, e *filetree.Effect) (uint64, error) {
	if e.After == (filetree.Version{}) {
		return 0, nil
	}
	p, _, err := v.Version(ctx, e.Path, e.After)
	return p.Size, err
}

// below tells whether a path is dir or in it.
func below(dir, p string) bool {
	return dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// effectOf describes what an operation did at a path; ok is false if nothing that a
// person sees.
func effectOf(e *filetree.Effect) (c Change, ok bool) {
	c = Change{Type: TypeChange, Path: e.Path}
	switch e.What {
	case filetree.Wrote:
		c.Op = "change"
		if e.Before == (filetree.Version{}) {
			c.Op = "add"
		}
	case filetree.Removed:
		c.Op = "remove"
	case filetree.Moved, filetree.MovedAside:
		c.Op, c.From = "move", e.From
	default:
		return c, false
	}
	return c, true
}

func (h *handler) diffOfSpace(ctx context.Context, t spaceTarget, r *DiffRequest, s *Stream) error {
	v, release := t.files(h).View()
	defer release()
	to, err := position(ctx, v, r.State)
	if err != nil {
		return err
	}
	from := max(to, 1) - 1
	if !r.From.isNewest() {
		if from, err = position(ctx, v, r.From); err != nil {
			return err
		}
	}
	for d, err := range v.Diff(ctx, from, to) {
		if err != nil {
			return err
		}
		if !below(t.path, d.Path) && !(d.From != "" && below(t.path, d.From)) {
			continue
		}
		if c, ok := differenceOf(&d); ok {
			if err := s.Send(TypeChange, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func differenceOf(d *filetree.Difference) (Change, bool) {
	c := Change{Type: TypeChange, Op: "change", Path: d.Path, From: d.From}
	if d.After != nil {
		c.Size = d.After.Size
	}
	if d.Before != nil {
		c.SizeBefore = d.Before.Size
	}
	switch {
	case d.MovedTo != "" && d.After == nil:
		return c, false // it is told where it went
	case d.From != "":
		c.Op = "move"
	case d.Before == nil:
		c.Op = "add"
	case d.After == nil:
		c.Op = "remove"
	}
	return c, true
}

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
	return t.stateOf(ctx, h, r.State, func(f *spacefs.Files, _ *filetree.View, past *filetree.Tree) error {
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
	if r.Empty {
		if err := f.EmptyTrash(ctx, t.path); err != nil {
			return err
		}
		return sendKept(1, nil, s)
	}
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
		if r.Restore {
			found = append(found, d)
			continue
		}
		e := entryOf(&d.Entry, d.Path)
		if err := s.Send(TypeDeleted, Deleted{TypeDeleted, d.Path, e.Kind, d.Size, d.At}); err != nil {
			return err
		}
	}
	if !r.Restore {
		return nil
	}
	if len(found) == 0 {
		return fault.New(fault.NotFound, "nothing at %q is in the trash", t.path)
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
