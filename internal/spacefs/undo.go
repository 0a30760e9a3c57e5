package spacefs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Undone is what [Files.Undo] or [Files.Redo] did.
type Undone struct {
	// Op is the operation that was taken back.
	Op filetree.Record
	// Changes is how many changes that took.
	Changes int
	// Left is what stays as it is, because somebody changed it since.
	Left []filetree.Unplanned
}

// Undo takes back this device's newest operation that was not taken back yet, as far as
// nobody changed the same since. Operations of which nothing is left are passed over.
func (f *Files) Undo(ctx context.Context) (Undone, error) {
	return f.takeBack(ctx, "undo", (*filetree.View).Undoable)
}

// Redo takes back this device's newest undo, if nothing else was done since.
func (f *Files) Redo(ctx context.Context) (Undone, error) {
	return f.takeBack(ctx, "redo", (*filetree.View).Redoable)
}

type operations func(v *filetree.View, ctx context.Context, device hypercrypto.PublicKey) iter.Seq2[filetree.Record, error]

func (f *Files) takeBack(ctx context.Context, what string, which operations) (Undone, error) {
	device, err := f.device(ctx)
	if err != nil {
		return Undone{}, err
	}
	v, release := f.View()
	defer release()
	var left []filetree.Unplanned
	for rec, err := range which(v, ctx, device) {
		if err != nil {
			return Undone{}, fmt.Errorf("%s: %w", what, err)
		}
		u, err := f.TakeBack(ctx, v, rec)
		if errors.Is(err, errNothingLeft) {
			left = append(left, u.Left...)
			continue
		}
		u.Left = append(left, u.Left...)
		return u, err
	}
	return Undone{Left: left}, fault.New(fault.NotFound, "there is nothing to %s", what)
}

var errNothingLeft = errors.New("nothing of it can be taken back: it changed nothing that is still so")

// TakeBack takes back an operation of a view, whoever made it.
func (f *Files) TakeBack(ctx context.Context, v *filetree.View, rec filetree.Record) (Undone, error) {
	changes, left, err := v.Undo(ctx, rec)
	if err != nil {
		return Undone{}, fmt.Errorf("take back an operation: %w", err)
	}
	like := filetree.Op{Undoes: rec.ID, Redo: rec.Undoes != filetree.OpID{}}
	u := Undone{Op: rec, Changes: len(changes), Left: left}
	if len(changes) == 0 {
		return u, fault.Wrap(fault.Conflict, errNothingLeft)
	}
	_, err = f.commit(ctx, like, changes)
	return u, err
}

// RestoreVersion makes a path hold a version that it had before, or one from the trash.
func (f *Files) RestoreVersion(ctx context.Context, path string, version filetree.Version) error {
	v, release := f.View()
	defer release()
	c, err := v.RestoreVersion(ctx, path, version)
	if err != nil {
		return err
	}
	_, err = f.Commit(ctx, []filetree.Change{c})
	return err
}

// Restore makes the tree at and below a path, all for "", what it was after the
// operation at a position. It returns what cannot be restored.
func (f *Files) Restore(ctx context.Context, path string, seq uint64) (changes int, left []filetree.Unplanned, err error) {
	v, release := f.View()
	defer release()
	t, err := v.At(ctx, seq)
	if err != nil {
		return 0, nil, err
	}
	plan, left, err := v.Restore(ctx, t, path)
	if err != nil {
		return 0, nil, err
	}
	_, err = f.Commit(ctx, plan)
	return len(plan), left, err
}

// At returns the position of the last operation that had been made by a time.
func (f *Files) At(ctx context.Context, at time.Time) (uint64, error) {
	v, release := f.View()
	defer release()
	return v.PositionAt(ctx, at)
}

// TakeSnapshot gives the present tree a name.
func (f *Files) TakeSnapshot(ctx context.Context, name string) error {
	v, release := f.View()
	_, taken, err := v.Snapshot(ctx, name)
	release()
	if err != nil {
		return err
	}
	if taken {
		return fault.New(fault.Conflict, "there is a snapshot %q already", name)
	}
	_, err = f.Commit(ctx, []filetree.Change{{Action: filetree.TakeSnapshot, Name: name}})
	return err
}

// DropSnapshot forgets a snapshot; what only it kept can go.
func (f *Files) DropSnapshot(ctx context.Context, name string) error {
	v, release := f.View()
	_, ok, err := v.Snapshot(ctx, name)
	release()
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.NotFound, "there is no snapshot %q", name)
	}
	_, err = f.Commit(ctx, []filetree.Change{{Action: filetree.DropSnapshot, Name: name}})
	return err
}

// Keep says which side of a conflict stays.
type Keep int

// The sides of a conflict.
const (
	KeepOriginal Keep = iota + 1
	KeepCopy
)

// Resolve settles the conflict with the copy at a path. The other side stays in the
// history, or the trash.
func (f *Files) Resolve(ctx context.Context, copyPath string, keep Keep) error {
	v, release := f.View()
	defer release()
	for c, err := range v.Conflicts(ctx) {
		if err != nil {
			return err
		}
		if c.Copy.Path != copyPath {
			continue
		}
		change := c.KeepOriginal()
		if keep == KeepCopy {
			change = c.KeepCopy()
		}
		_, err = f.Commit(ctx, []filetree.Change{change})
		return err
	}
	return fault.New(fault.NotFound, "there is no conflict copy %q", copyPath)
}
