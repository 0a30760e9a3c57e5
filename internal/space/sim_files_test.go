package space

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// simPut is something that a device wrote to a path, and was told that it is kept.
type simPut struct {
	at      autobase.Ref
	version filetree.Version
	path    string
	item    filetree.Item
}

// write lets a device write operations of files, as one append. All are made of one view,
// as a person makes changes of what is to be seen.
func (d *simDevice) write() {
	w := d.w
	var bodies [][]byte
	var ops []*filetree.Op
	made := make(map[string]bool)
	for range 1 + w.rng.IntN(5)/4 {
		r, release := d.space.Hold(w.files.Type())
		op := (&simPlan{w: w, view: filetree.NewView(r), made: made}).operation(d.badge.key.Public)
		release()
		if len(op.Changes) == 0 {
			continue
		}
		body, err := op.Encode()
		w.must("encode", err)
		ops, bodies = append(ops, op), append(bodies, body)
	}
	may := d.space.base.Status().Writable
	receipts, err := d.space.Append(w.ctx, w.files.Type(), bodies...)
	if err != nil {
		if errors.Is(err, errRefused) || may && !errors.Is(err, autobase.ErrLocked) && !unable(err) {
			w.fail("device %d writes: %v", d.n, err)
		}
		w.note("device %d may not write: %v", d.n, err)
		return
	}
	if !may && len(bodies) > 0 {
		w.fail("device %d wrote and is no writer", d.n)
	}
	w.bodies = append(w.bodies, bodies...)
	for i, r := range receipts {
		at := r.Ref()
		by := filetree.Author{Log: at.Key, Length: at.Length}
		for j, c := range ops[i].Changes {
			w.note("device %d: %d.%d %v %q from %q base %.3x, %q, resolves %.3x, writes %.3x", d.n, at.Length, j, c.Action, c.Path, c.From, c.Base, c.Item.Content, c.Resolves, by.Version(j))
			if made[string(c.Item.Content)] {
				d.held[string(c.Item.Content)] = true
			}
			if c.Action == filetree.Put {
				w.puts = append(w.puts, simPut{at, by.Version(j), c.Path, c.Item})
			}
		}
	}
	w.settle()
}

// simPlan makes an operation of what is to be seen.
type simPlan struct {
	w       *simulation
	view    *filetree.View
	entries []filetree.Entry
	made    map[string]bool // contents that are new
}

// list reads a sequence to its end.
func list[T any](w *simulation, seq iter.Seq2[T, error]) (out []T) {
	w.t.Helper()
	for x, err := range seq {
		w.must("read", err)
		out = append(out, x)
	}
	return out
}

// pick returns one of several things, if there are any.
func pick[T any](w *simulation, all []T) (x T, ok bool) {
	if len(all) == 0 {
		return x, false
	}
	return all[w.rng.IntN(len(all))], true
}

func (p *simPlan) operation(self hypercrypto.PublicKey) *filetree.Op {
	w, v, op := p.w, p.view, &filetree.Op{}
	p.entries = list(w, v.Walk(w.ctx, ""))
	what := w.rng.IntN(14)
	if w.drops && w.one(6) {
		what = 6
	}
	switch what {
	case 0, 1:
		if c, ok := pick(w, list(w, v.Conflicts(w.ctx))); ok {
			op.Changes = []filetree.Change{p.resolve(&c)}
		}
	case 2, 3:
		undoable := v.Undoable
		if w.one(2) {
			undoable = v.Redoable
		}
		if recs := list(w, undoable(w.ctx, self)); len(recs) > 0 {
			changes, _, err := v.Undo(w.ctx, recs[0])
			if !errors.Is(err, filetree.ErrForgotten) {
				w.must("undo", err)
			}
			op.Changes, op.Undoes, op.Redo = changes, recs[0].ID, recs[0].Undoes != filetree.OpID{}
		}
	case 4:
		if e, ok := pick(w, p.entries); ok {
			changes, err := v.DeleteAll(w.ctx, e.Path)
			w.must("delete", err)
			op.Changes = changes
		}
	case 5:
		take := filetree.TakeSnapshot
		if w.one(3) {
			take = filetree.DropSnapshot
		}
		op.Changes = []filetree.Change{{Action: take, Name: fmt.Sprint("s", w.rng.IntN(2))}}
	case 6:
		if w.drops {
			drop := filetree.Purge
			if w.one(3) {
				drop = filetree.Prune
			}
			op.Changes = []filetree.Change{{Action: drop, Retention: time.Duration(w.rng.IntN(2)*w.rng.IntN(30)) * time.Second}}
		}
	case 7:
		if t, ok := pick(w, list(w, v.Trash(w.ctx))); ok {
			op.Changes = p.restore(t.Path, t.Version)
		}
	case 8:
		if e, ok := pick(w, p.entries); ok {
			if old, ok := pick(w, list(w, v.History(w.ctx, e.Path))); ok {
				op.Changes = p.restore(e.Path, old.Version)
			}
		}
	case 9:
		op.Changes = p.goBack()
	}
	if len(op.Changes) == 0 {
		op.Changes = p.changes()
	}
	return op
}

func (p *simPlan) restore(path string, version filetree.Version) []filetree.Change {
	c, err := p.view.RestoreVersion(p.w.ctx, path, version)
	p.w.must("restore version", err)
	return []filetree.Change{c}
}

// goBack restores the tree, or what is at one path, to what it was.
func (p *simPlan) goBack() []filetree.Change {
	w, v := p.w, p.view
	n, err := v.Count(w.ctx)
	w.must("count", err)
	t, err := v.At(w.ctx, uint64(w.rng.IntN(int(n.Ops)+1)))
	if errors.Is(err, filetree.ErrForgotten) {
		return nil
	}
	w.must("go back", err)
	path := ""
	if e, ok := pick(w, p.entries); ok && w.one(2) {
		path = e.Path
	}
	changes, _, err := v.Restore(w.ctx, t, path)
	w.must("restore", err)
	return changes
}

func (p *simPlan) resolve(c *filetree.Conflict) filetree.Change {
	switch p.w.rng.IntN(4) {
	case 0:
		return c.KeepCopy()
	case 1:
		return c.KeepOriginal()
	case 2:
		return c.Settle(p.text("merged"))
	}
	by := c.Settle(p.text("by hand"))
	by.Action = filetree.Put
	return by
}

func (p *simPlan) path() string {
	var names []string
	for range 1 + p.w.rng.IntN(3) {
		names = append(names, []string{"a", "b", "c.txt", "d"}[p.w.rng.IntN(4)])
	}
	return strings.Join(names, "/")
}

// text makes a content.
func (p *simPlan) text(s string) filetree.Item {
	p.made[s] = true
	return filetree.Item{Kind: filetree.File, Mode: 0o644, Size: uint64(len(s)), Hash: hypercrypto.Sum([]byte(s)), Content: []byte(s)}
}

func (p *simPlan) item() filetree.Item {
	w := p.w
	w.written++
	switch w.rng.IntN(12) {
	case 0:
		return filetree.Item{Kind: filetree.Dir, Mode: []fs.FileMode{0o755, 0o700}[w.rng.IntN(2)]}
	case 1:
		return filetree.Item{Kind: filetree.Symlink, Mode: 0o777, Target: "x"}
	case 2, 3:
		it := p.text([]string{"", "x", "y"}[w.rng.IntN(3)])
		it.Mode = []fs.FileMode{0o755, 0o644}[w.rng.IntN(2)]
		return it
	}
	return p.text(fmt.Sprint("text ", w.written))
}

// changes are a few simple ones, at paths that have nothing to do with each other.
func (p *simPlan) changes() (out []filetree.Change) {
	touched := make(map[string]bool)
	for range 1 + p.w.rng.IntN(4) {
		if c := p.change(); !touched[c.Path] && !touched[c.From] {
			touched[c.Path], touched[c.From] = true, c.From != ""
			out = append(out, c)
		}
	}
	return out
}

func (p *simPlan) change() filetree.Change {
	w := p.w
	e, ok := pick(w, p.entries)
	switch x := w.rng.IntN(8); {
	case ok && x == 0:
		return filetree.Change{Action: filetree.Delete, Path: e.Path, Base: e.Version}
	case ok && x <= 2:
		if to := p.path(); !strings.HasPrefix(to+"/", e.Path+"/") && !strings.HasPrefix(e.Path+"/", to+"/") {
			return filetree.Change{Action: filetree.Move, From: e.Path, Path: to, Base: e.Version}
		}
	case ok && x <= 5:
		return filetree.Change{Action: filetree.Put, Path: e.Path, Base: e.Version, Item: p.item()}
	}
	c := filetree.Change{Action: filetree.Put, Path: p.path(), Item: p.item()}
	at, ok, err := p.view.Lookup(w.ctx, c.Path)
	w.must("look up", err)
	if ok {
		c.Base = at.Version
	}
	return c
}
