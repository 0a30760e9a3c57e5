package api

import (
	"context"
	"path"
	"path/filepath"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// spaceTarget names a place in a space, in one of its states: SPACE:path, or a path on
// this machine in a folder that is kept equal with a space.
type spaceTarget struct {
	space *space.Space
	path  string // in the space
}

// ofSpace finds what a reference means in a space; ok is false if it means something
// else.
func (h *handler) ofSpace(ref, dir string) (t spaceTarget, ok bool, err error) {
	if name, rest, found := h.cutSpace(ref); found && !strings.HasPrefix(rest, "//") {
		sp, err := h.Spaces.Get(name)
		if err != nil {
			if fault.KindOf(err) == fault.NotFound && strings.ContainsAny(name, `/\`) {
				return t, false, nil
			}
			return t, false, err
		}
		t, err := placeIn(sp, rest)
		return t, err == nil, err
	}
	if strings.Contains(ref, "://") {
		return t, false, nil
	}
	if sp, err := h.Spaces.Get(ref); err == nil {
		// A drive of that name, or a path, was meant before there were spaces.
		if _, err := h.Files.Find(ref, dir); fault.KindOf(err) == fault.NotFound {
			return spaceTarget{space: sp}, true, nil
		}
	}
	if !filepath.IsAbs(ref) {
		if dir == "" {
			return t, false, nil
		}
		ref = filepath.Join(dir, ref)
	}
	f, inside, found := h.Folders.Find(ref)
	if !found {
		return t, false, nil
	}
	sp, err := h.Spaces.Get(f.Space.Hex())
	if err != nil {
		return t, false, err
	}
	t, err = placeIn(sp, inside)
	return t, err == nil, err
}

// cutSpace cuts a reference at its first colon, or at a later one if that ends the name of
// a space: names may have colons.
func (h *handler) cutSpace(ref string) (name, path string, found bool) {
	for i, c := range ref {
		if c != ':' {
			continue
		}
		if _, err := h.Spaces.Get(ref[:i]); err == nil {
			return ref[:i], ref[i+1:], true
		}
	}
	if _, err := h.Spaces.Get(ref); err == nil && strings.Contains(ref, ":") {
		return ref, "", true
	}
	return strings.Cut(ref, ":")
}

// mustBeSpace is ofSpace for what cannot be anything else.
func (h *handler) mustBeSpace(ref, dir string) (spaceTarget, error) {
	t, ok, err := h.ofSpace(ref, dir)
	if err == nil && !ok {
		sp, named := h.Spaces.Get(ref)
		if named == nil {
			return spaceTarget{space: sp}, nil
		}
		if !strings.ContainsAny(ref, `/\.`) {
			return t, named // it says what there is
		}
		err = fault.New(fault.NotFound, "%q is no place in a space", ref).
			Hint("write SPACE:path, or a path in a folder that \"sync\" keeps equal with a space")
	}
	return t, err
}

// placeIn cleans a path in a space.
func placeIn(sp *space.Space, p string) (spaceTarget, error) {
	clean := strings.TrimPrefix(path.Clean("/"+p), "/")
	if clean != "" {
		if err := filetree.CheckPath(clean); err != nil {
			return spaceTarget{}, fault.New(fault.Usage, "%q: %w", p, err)
		}
	}
	return spaceTarget{sp, clean}, nil
}

// files returns the files of a space.
func (t spaceTarget) files(h *handler) *spacefs.Files { return h.SpaceFiles.Of(t.space) }

// position returns that of a state; newest is that of the last operation.
func position(ctx context.Context, v *filetree.View, st State) (seq uint64, err error) {
	n, err := v.Count(ctx)
	if err != nil {
		return 0, err
	}
	switch {
	case more(st.Version > 0, !st.At.IsZero(), st.Snapshot != ""):
		return 0, fault.New(fault.Usage, "only one of version, time and snapshot can be asked for")
	case st.Version > n.Ops:
		return 0, fault.New(fault.NotFound, "there is no version %d", st.Version).Hint("the newest is %d", n.Ops)
	case st.Version > 0:
		return st.Version, nil
	case !st.At.IsZero():
		return v.PositionAt(ctx, st.At)
	case st.Snapshot != "":
		return snapshot(ctx, v, st.Snapshot)
	}
	return n.Ops, nil
}

// snapshot returns the position of the snapshot with a name.
func snapshot(ctx context.Context, v *filetree.View, name string) (seq uint64, err error) {
	for x, err := range v.Snapshots(ctx) {
		if err != nil {
			return 0, err
		}
		if x.Name == name {
			return x.Seq, nil
		}
	}
	return 0, fault.New(fault.NotFound, "there is no snapshot %q", name).Hint("cloudpal snapshot SPACE lists them")
}

// more tells whether more than one of some things is true.
func more(of ...bool) bool {
	n := 0
	for _, b := range of {
		if b {
			n++
		}
	}
	return n > 1
}

// isNewest tells whether a state is the newest one.
func (st State) isNewest() bool { return st == State{} }

// ofDrive returns the state for a drive.
func (st State) ofDrive() (files.State, error) {
	if st.Snapshot != "" {
		return files.State{}, fault.New(fault.Usage, "only spaces have snapshots").Hint("a drive has versions: cloudpal log")
	}
	return files.State{Version: st.Version, At: st.At}, nil
}
