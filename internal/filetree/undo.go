package filetree

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Unplanned is something that a plan leaves as it is.
type Unplanned struct {
	Path string
	Why  string
	// By is the device that changed it meanwhile, if that is the reason.
	By hypercrypto.PublicKey
}

// Undoable yields the operations of a device that undo would take back, the newest
// first: those that had an effect and were not taken back already.
func (v *View) Undoable(ctx context.Context, device hypercrypto.PublicKey) iter.Seq2[Record, error] {
	return v.own(ctx, device, func(r Record) bool { return r.Undoes == OpID{} })
}

// Redoable yields the operations of a device that redo would take back, the newest
// first: undos since the device's last operation of another kind.
func (v *View) Redoable(ctx context.Context, device hypercrypto.PublicKey) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for rec, err := range v.own(ctx, device, func(r Record) bool { return !r.Redo }) {
			if err == nil && (rec.Undoes == OpID{}) || !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// own yields the operations of a device that no later one of it took back.
func (v *View) own(ctx context.Context, device hypercrypto.PublicKey, want func(Record) bool) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		undone := make(map[OpID]bool)
		for rec, err := range v.Journal(ctx, 0) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			if rec.Device != device || undone[rec.ID] {
				continue
			}
			if rec.Undoes != (OpID{}) {
				undone[rec.Undoes] = true
			}
			if want(rec) && !yield(rec, nil) {
				return
			}
		}
	}
}

// Undo plans to take back what an operation did: changes for operations that say
// Undoes, and Redo if rec is itself an undo. What was changed since is left as it is.
// To take back several operations, apply each plan before the next is made, the
// newest first.
func (v *View) Undo(ctx context.Context, rec Record) ([]Change, []Unplanned, error) {
	effects, err := v.wholeEffects(ctx, rec)
	if err != nil {
		return nil, nil, err
	}
	u := undoer{v: v, plan: make(map[string]*spot)}
	for _, e := range slices.Backward(effects) {
		if err := u.takeBack(ctx, e); err != nil {
			return nil, nil, fmt.Errorf("undo %q: %w", e.Path, err)
		}
	}
	return slices.DeleteFunc(u.changes, func(c Change) bool { return c.Action == 0 }), u.left, nil
}

// wholeEffects returns what an operation did, of moved directories without what moved
// with them.
func (v *View) wholeEffects(ctx context.Context, rec Record) (out []Effect, err error) {
	var dir Effect
	for e, err := range v.Effects(ctx, rec) {
		if err != nil {
			return nil, err
		}
		if e.What == Moved && dir.What == Moved && e.Change == dir.Change && under(e.Path, dir.Path) && under(e.From, dir.From) {
			continue
		}
		dir = e
		out = append(out, e)
	}
	return out, nil
}
