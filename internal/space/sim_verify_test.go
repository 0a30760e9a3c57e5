package space

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

func inviteID(k hypercrypto.PublicKey) hypercrypto.Hash { return blindpairing.InviteID(k) }

// verify checks, after everybody has heard of everything, that devices agree, that only
// those had an effect who may, and that nothing is lost.
func (w *simulation) verify() {
	members := w.members()
	if len(members) == 0 && w.lost != nil {
		return // the only one left removed itself
	}
	want := members[0].state()
	for _, d := range members[1:] {
		if got := d.state(); got != want {
			w.fail("device %d differs from device %d:\n%s\n%s", d.n, members[0].n, got, want)
		}
	}
	d := members[w.rng.IntN(len(members))]
	values := d.replay()
	tree := &simTree{w: w, memory: make(map[string][]byte), effective: make(map[autobase.Ref]int), dropped: make(map[filetree.Version]bool), ops: make(map[filetree.OpID]int)}
	who := newLedger()
	writers := []map[hypercrypto.Key]bool{{}}
	for e, err := range d.space.History(w.ctx, 0, false) {
		w.must("journal", err)
		w.enter(who, tree, e, values)
		writers = append(writers, who.writers())
	}
	w.checkMembers(who, d)
	w.checkLost(tree, writers)
	w.checkContents(tree)
	tree.compare(d)
	for _, d := range w.devices {
		if d.space != nil {
			d.restart(false)
			d.look()
		}
	}
}

// members returns the devices that are in the space and can read all of it. They agree on
// who is; who cannot read something lacks a key that nobody has who could give it.
func (w *simulation) members() (out []*simDevice) {
	self := func(d *simDevice) bool {
		p, _, err := d.space.self(w.ctx)
		w.must("self", err)
		return p != nil
	}
	present := func(d *simDevice) bool {
		dev, err := records{out[0].space.app.tree}.device(w.ctx, d.space.Log())
		w.must("device", err)
		return dev != nil && dev.until == 0
	}
	var partly []*simDevice
	for _, d := range w.devices {
		if d.space == nil || !self(d) {
			continue
		}
		if st := d.space.base.Status(); len(st.Missing) == 0 {
			out = append(out, d)
		} else if !st.Locked {
			partly = append(partly, d)
		}
	}
	if len(out) == 0 { // all that have some key went
		out = partly[:min(1, len(partly))]
	}
	if len(out) == 0 {
		if w.lost == nil {
			w.fail("nobody is left")
		}
		return nil
	}
	for _, d := range w.devices {
		if d.space == nil || !present(d) {
			continue
		}
		if !self(d) {
			w.fail("device %d is a member and does not know:\n%+v\n%+v", d.n, d.space.base.Status(), out[0].space.base.Status())
		}
		st := d.space.base.Status()
		for _, epoch := range st.Missing {
			if i := slices.IndexFunc(out, func(q *simDevice) bool { return q.space.base.Status().Writable && q.space.ring.has(epoch) }); st.Locked || i >= 0 {
				w.fail("device %d lacks key %d, locked %v; %d could give it", d.n, epoch, st.Locked, i)
			}
		}
	}
	return out
}

// simForked counts recoveries that a replay from nothing does not follow.
var simForked atomic.Int64

// replay computes the state of a device from nothing, compares, and returns all values.
func (d *simDevice) replay() map[autobase.Ref][]byte {
	values := make(map[autobase.Ref][]byte)
	x := d.space
	fresh := newApp(x.Key(), x.app.level, x.l.opts.Collections)
	fresh.clock, fresh.ring, fresh.box, fresh.log = x.app.clock, x.app.ring, x.app.box, x.app.log
	h := fresh.handlers()
	apply := h.Apply
	h.Apply = func(ctx context.Context, nodes []autobase.Node, host *autobase.Host) error {
		for _, n := range nodes {
			values[autobase.Ref{Key: n.From, Length: n.Length}] = bytes.Clone(n.Value)
		}
		return apply(ctx, nodes, host)
	}
	err := x.base.Check(d.w.ctx, h)
	if d.w.recovered && errors.Is(err, autobase.ErrDiffers) {
		// A fork counts when it is heard of: who hears of it together with what comes later
		// may come to another state.
		simForked.Add(1)
		err = nil
	}
	d.w.must("replay", err)
	return values
}

// enter enters an append that had an effect. Its author has to be somebody who may.
func (w *simulation) enter(who *ledger, tree *simTree, e Entry, values map[autobase.Ref][]byte) {
	for length := e.Length - e.Count + 1; length <= e.Length; length++ {
		at := autobase.Ref{Key: e.Log, Length: length}
		tree.effective[at] = int(e.Position)
		tree.ops[filetree.Author{Log: at.Key, Length: at.Length}.ID()] = int(e.Position)
		if e.Type != coreType && who.role(e.Log) < Editor {
			w.fail("position %d: node %d of log %.8s by a %s has an effect", e.Position, length, e.Log.Hex(), who.role(e.Log))
		}
		if e.Skipped {
			continue
		}
		op, err := decodeEnvelope(values[at], 1)
		w.must("envelope", err)
		if op.typ == coreType {
			act, err := decodeAction(op.body)
			w.must("action", err)
			if err := who.apply(e.Log, act); err != nil {
				w.fail("position %d: %T of log %.8s has an effect: %v", e.Position, act, e.Log.Hex(), err)
			}
			continue
		}
		by := who.devices[e.Log]
		tree.apply(&Op{
			Log: e.Log, Length: length, Device: by.key, DeviceName: by.name, Person: by.person, Role: who.role(e.Log), Time: op.time, Level: 1, Body: op.body,
		})
	}
}

func (w *simulation) checkMembers(who *ledger, d *simDevice) {
	members, err := d.space.Members(w.ctx)
	w.must("members", err)
	devices, err := d.space.Devices(w.ctx)
	w.must("devices", err)
	w.must("ledger", who.compare(members, devices))
}

// checkLost finds out what became of everything that was acknowledged: it is kept, unless
// its author may have been no writer at its place in the order. That is after all that the
// author had seen, and before all whose authors had seen it.
func (w *simulation) checkLost(tree *simTree, writers []map[hypercrypto.Key]bool) {
	tree.look()
	for _, p := range w.puts {
		if _, ok := tree.effective[p.at]; ok {
			tree.find(p)
			continue
		}
		from, to := 0, len(writers)-1
		for ref, at := range tree.effective {
			if w.nodes[p.at][ref.Key] >= ref.Length {
				from = max(from, at)
			}
			if w.nodes[ref][p.at.Key] >= p.at.Length {
				to = min(to, at-1)
			}
		}
		lost := false
		for at := from; at <= to && !lost; at++ {
			lost = !writers[at][p.at.Key]
		}
		if !lost {
			w.fail("%q, node %d of log %.8s, has no effect, and was written by a writer, at %d to %d", p.path, p.at.Length, p.at.Key.Hex(), from, to)
		}
	}
}

// simTree is the tree of files, computed from the operations in their order, without a
// base and its bee.
type simTree struct {
	w         *simulation
	memory    simMemory
	effective map[autobase.Ref]int               // the position of what had an effect
	ops       map[filetree.OpID]int              // the same
	dropped   map[filetree.Version]bool          // by purges and prunes
	kept      map[filetree.Version]filetree.Past // what can be found
}

func (t *simTree) apply(op *Op) {
	w := t.w
	x, err := filetree.DecodeOp(op.Body)
	drops := err == nil && slices.ContainsFunc(x.Changes, func(c filetree.Change) bool {
		return c.Action == filetree.Purge || c.Action == filetree.Prune
	})
	var before map[filetree.Version]filetree.Past
	if drops {
		t.look()
		before = t.kept
	}
	w.must("apply again", w.files.Apply(w.ctx, t.memory, op))
	if !drops {
		return
	}
	t.look()
	for v, p := range before {
		if _, ok := t.kept[v]; ok {
			continue
		}
		if p.Fate == filetree.Current {
			w.fail("%q was dropped from the tree", p.Path)
		}
		t.dropped[v] = true
	}
	// What nothing but a dropped version led to cannot be found either; later drops see
	// that nothing else gets lost.
}

// look finds all versions that are kept, as people do: in the tree, among the conflicts, in
// the trash, and in the history of all that.
func (t *simTree) look() {
	w, v := t.w, filetree.NewView(t.memory)
	t.kept = make(map[filetree.Version]filetree.Past)
	var todo []filetree.Past
	for _, e := range list(w, v.Walk(w.ctx, "")) {
		if e.Kind != filetree.Dir {
			for _, p := range list(w, v.History(w.ctx, e.Path)) {
				t.kept[p.Version] = p
			}
			continue
		}
		todo = append(todo, filetree.Past{Entry: e, Fate: filetree.Current})
	}
	for _, e := range list(w, v.Trash(w.ctx)) {
		_, err := v.RestoreVersion(w.ctx, e.Path, e.Version)
		w.must("restore", err)
		todo = append(todo, filetree.Past{Entry: e.Entry, Fate: filetree.Trashed, Left: e.At})
	}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		if _, ok := t.kept[p.Version]; ok {
			continue
		}
		t.kept[p.Version] = p
		for _, parent := range p.Parents {
			old, ok, err := v.Version(w.ctx, p.Path, parent)
			w.must("version", err)
			if ok {
				todo = append(todo, old)
			}
		}
	}
}

// find fails unless what was put is kept.
func (t *simTree) find(p simPut) {
	got, ok := t.kept[p.version]
	if !ok {
		if !t.dropped[p.version] {
			t.w.fail("%q, version %.3x of node %d of log %.8s, is lost", p.path, p.version, p.at.Length, p.at.Key.Hex())
		}
		return
	}
	if got.Kind != p.item.Kind || got.Hash != p.item.Hash || got.Target != p.item.Target {
		t.w.fail("%q, version %.3x, is %+v, not %+v", p.path, p.version, got.Item, p.item)
	}
}

// compare compares with what a device has, to the byte.
func (t *simTree) compare(d *simDevice) {
	w := t.w
	r, release := d.space.Hold(w.files.Type())
	defer release()
	w.must("check", filetree.Check(w.ctx, r))
	got := make(simMemory)
	for e, err := range r.Entries(w.ctx, hyperbee.Range{}) {
		w.must("read", err)
		got[string(e.Key)] = e.Value
	}
	for _, k := range sorted(t.memory) {
		if !bytes.Equal(got[k], t.memory[k]) {
			w.fail("device %d has %q at key %q, not %q", d.n, got[k], k, t.memory[k])
		}
	}
	if len(got) != len(t.memory) {
		w.fail("device %d has %d keys of %d", d.n, len(got), len(t.memory))
	}
}

// simMemory is a state of a collection in memory.
type simMemory map[string][]byte

func (m simMemory) Get(_ context.Context, key []byte) ([]byte, bool, error) {
	v, ok := m[string(key)]
	return v, ok, nil
}

func (m simMemory) Put(_ context.Context, key, value []byte) error {
	m[string(key)] = bytes.Clone(value)
	return nil
}

func (m simMemory) Del(_ context.Context, key []byte) error {
	delete(m, string(key))
	return nil
}

func (m simMemory) Entries(_ context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error] {
	return func(yield func(hyperbee.Entry, error) bool) {
		keys := slices.Sorted(maps.Keys(m))
		if r.Reverse {
			slices.Reverse(keys)
		}
		for _, k := range keys {
			switch b := []byte(k); {
			case r.GT != nil && bytes.Compare(b, r.GT) <= 0, r.GTE != nil && bytes.Compare(b, r.GTE) < 0,
				r.LT != nil && bytes.Compare(b, r.LT) >= 0, r.LTE != nil && bytes.Compare(b, r.LTE) > 0:
			default:
				if !yield(hyperbee.Entry{Key: b, Value: m[k]}, nil) {
					return
				}
			}
		}
	}
}
