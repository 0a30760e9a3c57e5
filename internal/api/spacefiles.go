package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"path"
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
	if seq == 0 && !st.At.IsZero() {
		return fault.New(fault.NotFound, "there was nothing at %s", st.At.Format(time.DateTime)).Hint("see what was when: cloudpal log %s", fault.Word(t.space.Name()))
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
		if t.path == "" {
			return isFolder(r.Ref)
		}
		e, err := lookup(ctx, v, past, t.path)
		if err != nil {
			return err
		}
		switch e.Kind {
		case filetree.File:
		case filetree.Dir:
			return isFolder(r.Ref)
		default:
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

// isFolder refuses what has no content of its own.
func isFolder(ref string) error {
	return fault.New(fault.Usage, "%s is a folder; only files have content", ref).Hint("see what it holds: cloudpal ls %s", fault.Word(ref))
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
	if n == 0 && t.path != "" {
		return unknownPath(t)
	}
	return nil
}

// unknownPath says that nothing is known of a path.
func unknownPath(t spaceTarget) error {
	return fault.New(fault.NotFound, "space %q has, and had, nothing at %q", t.space.Name(), t.path)
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
