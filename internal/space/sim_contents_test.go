package space

import (
	"maps"
	"slices"

	"github.com/tradle/cloudpal/internal/filetree"
)

// simHeld are the contents that a device holds. The simulation keeps them beside the logs,
// by the rules of the files of a space: who writes a version holds its content, others fetch
// what they want of those that have it, and who is told by a final operation that nothing
// has a content any more frees it.
type simHeld map[string]bool

// simFreed says after which final operation of files a content was freed the last time.
type simFreed struct {
	by    int
	after filetree.OpID
}

// fetch lets a device fetch contents that another one holds: some, or all.
func (d *simDevice) fetch(from *simDevice, some bool) {
	r, release := d.space.Hold(d.w.files.Type())
	defer release()
	for _, live := range list(d.w, filetree.NewView(r).Live(d.w.ctx)) {
		for _, c := range live.Contents {
			if from.held[string(c)] && !(some && d.w.one(2)) {
				d.held[string(c)] = true
			}
		}
	}
}

// final returns the newest tree, and how many of its operations have their place for good.
func (d *simDevice) final(v *filetree.View) uint64 {
	w := d.w
	n, err := v.Count(w.ctx)
	w.must("count", err)
	signed := uint64(0)
	for _, view := range d.space.base.Status().Views {
		signed = max(signed, view.Signed)
	}
	for e, err := range d.space.History(w.ctx, 0, true) {
		w.must("journal", err)
		if e.Version > signed {
			continue
		}
		r, release, err := d.space.ViewAt(w.files.Type(), e.Version)
		w.must("look back", err)
		then, err := filetree.NewView(r).Count(w.ctx)
		w.must("count", err)
		w.must("close", release())
		return min(then.Ops, n.Ops)
	}
	return 0
}

// free frees what final operations released and nothing has.
func (d *simDevice) free() {
	w := d.w
	r, release := d.space.Hold(w.files.Type())
	defer release()
	v := filetree.NewView(r)
	final := d.final(v)
	if final == 0 {
		return
	}
	last, ok, err := v.Op(w.ctx, final)
	w.must("operation", err)
	if !ok {
		w.fail("device %d has no operation %d", d.n, final)
	}
	needed := make(map[string]bool)
	need := func(r filetree.Released) {
		for _, c := range r.Contents {
			needed[string(c)] = true
		}
	}
	for _, live := range list(w, v.Live(w.ctx)) {
		need(live)
	}
	var drop []filetree.Released
	for _, g := range list(w, v.Garbage(w.ctx, 0)) {
		if g.Seq > final {
			need(g)
		} else {
			drop = append(drop, g)
		}
	}
	for _, g := range drop {
		for _, c := range g.Contents {
			if d.held[string(c)] && !needed[string(c)] {
				delete(d.held, string(c))
				w.freed[string(c)] = simFreed{d.n, last.ID}
				w.note("device %d frees %q", d.n, c)
			}
		}
	}
}

// checkContents finds the content of every version that is kept: somebody holds it, unless
// all who did were lost, or its version came after that which told them to free it.
func (w *simulation) checkContents(tree *simTree) {
	var all []simHeld
	for _, d := range w.devices {
		all = append(all, d.held)
	}
	wanted := make(map[string][]filetree.Version)
	for v, p := range tree.kept {
		if p.Kind == filetree.File && p.Size > 0 {
			wanted[string(p.Content)] = append(wanted[string(p.Content)], v)
		}
	}
	for _, s := range list(w, filetree.NewView(tree.memory).Snapshots(w.ctx)) {
		t, err := filetree.NewView(tree.memory).At(w.ctx, s.Seq)
		w.must("look at a snapshot", err)
		for _, e := range list(w, t.Walk(w.ctx, "")) {
			if e.Kind == filetree.File && e.Size > 0 {
				wanted[string(e.Content)] = append(wanted[string(e.Content)], e.Version)
			}
		}
	}
	for _, c := range slices.Sorted(maps.Keys(wanted)) {
		if slices.ContainsFunc(all, func(h simHeld) bool { return h[c] }) {
			continue
		}
		f, freed := w.freed[c]
		if !freed {
			continue // those who held it were lost, or forgot the space
		}
		last, ok := tree.ops[f.after]
		if !ok {
			w.fail("device %d freed %q after an operation that has no effect", f.by, c)
		}
		for _, p := range w.puts {
			if at, ok := tree.effective[p.at]; ok && slices.Contains(wanted[c], p.version) && at <= last {
				w.fail("device %d freed %q, which version %.3x of position %d has, at position %d", f.by, c, p.version, at, last)
			}
		}
	}
}
