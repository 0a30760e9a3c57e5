package filetree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// simOp is an operation with what its author had seen.
type simOp struct {
	by    Author
	who   int
	op    *Op
	body  []byte
	seen  []int // per device how many of its operations
	order int   // random: which of two concurrent ones comes first
}

// sim is some devices that write at the same time and see each other's operations
// late.
type sim struct {
	t       *rapid.T
	devices []*device
	ops     [][]*simOp // per device
	seen    [][]int    // per device: how many operations of each it has
	minutes int
	drops   bool // whether operations drop old versions
}

func newSim(t *rapid.T, n int, drops bool) *sim {
	s := &sim{t: t, ops: make([][]*simOp, n), drops: drops}
	for i := range n {
		s.devices = append(s.devices, newDevice(fmt.Sprintf("device %d", i)))
		s.seen = append(s.seen, make([]int, n))
	}
	return s
}

// linear returns operations in an order that keeps what was seen first, first.
func (s *sim) linear(have []int, rank func(*simOp) int) []*simOp {
	var out []*simOp
	done := make([]int, len(have))
	for {
		var next *simOp
		for i := range have {
			if done[i] == have[i] {
				continue
			}
			o := s.ops[i][done[i]]
			ready := true
			for j, n := range o.seen {
				ready = ready && done[j] >= n
			}
			if ready && (next == nil || rank(o) < rank(next)) {
				next = o
			}
		}
		if next == nil {
			return out
		}
		done[next.who]++
		out = append(out, next)
	}
}

func replay(t failer, ops []*simOp) *memory {
	m := newMemory()
	for _, o := range ops {
		if err := Apply(context.Background(), m, o.by, o.body); err != nil {
			t.Fatalf("apply: %v", err)
		}
	}
	return m
}

func (s *sim) state(i int) *memory {
	return replay(s.t, s.linear(s.seen[i], func(o *simOp) int { return o.order }))
}

func (s *sim) path() string {
	n := rapid.IntRange(1, 3).Draw(s.t, "depth")
	var names []string
	for range n {
		names = append(names, rapid.SampledFrom([]string{"a", "b", "c.txt", "d"}).Draw(s.t, "name"))
	}
	return strings.Join(names, "/")
}

func (s *sim) item() Item {
	switch rapid.IntRange(0, 9).Draw(s.t, "kind") {
	case 0:
		return dir(rapid.SampledFrom([]fs.FileMode{0o755, 0o700}).Draw(s.t, "mode"))
	case 1:
		return link(rapid.SampledFrom([]string{"x", "y"}).Draw(s.t, "target"))
	case 2:
		return executable(rapid.SampledFrom([]string{"", "x", "y"}).Draw(s.t, "content"))
	}
	return file(rapid.SampledFrom([]string{"", "x", "y", "z", "1", "2", "3", "4", "5"}).Draw(s.t, "content"))
}

func all2[T any](t *rapid.T, seq func(func(T, error) bool)) (out []T) {
	for x, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// act lets a device make an operation on what it has seen.
func (s *sim) act(i int) {
	t := s.t
	ctx := context.Background()
	m := s.state(i)
	v := NewView(m)
	op := &Op{}
	entries := all2(t, v.Walk(ctx, ""))
	pick := func() (Entry, bool) {
		if len(entries) == 0 {
			return Entry{}, false
		}
		return rapid.SampledFrom(entries).Draw(t, "entry"), true
	}
	switch rapid.IntRange(0, 11).Draw(t, "what") {
	case 0: // settle a conflict
		conflicts := all2(t, v.Conflicts(ctx))
		if len(conflicts) == 0 {
			break
		}
		c := rapid.SampledFrom(conflicts).Draw(t, "conflict")
		switch rapid.IntRange(0, 3).Draw(t, "settle") {
		case 0:
			op.Changes = append(op.Changes, c.KeepCopy())
		case 1:
			op.Changes = append(op.Changes, c.KeepOriginal())
		case 2:
			op.Changes = append(op.Changes, c.Settle(file("merged")))
		case 3:
			x := c.Settle(file("by hand"))
			x.Action = Put
			op.Changes = append(op.Changes, x)
		}
	case 1: // undo or redo
		list := all2(t, v.Undoable(ctx, s.devices[i].key))
		if rapid.Bool().Draw(t, "redo") {
			list = all2(t, v.Redoable(ctx, s.devices[i].key))
		}
		if len(list) == 0 {
			break
		}
		changes, _, err := v.Undo(ctx, list[0])
		if err != nil && !errors.Is(err, ErrForgotten) {
			t.Fatal(err)
		}
		op.Changes, op.Undoes, op.Redo = changes, list[0].ID, list[0].Undoes != OpID{}
	case 2: // delete a folder
		if e, ok := pick(); ok {
			changes, err := v.DeleteAll(ctx, e.Path)
			if err != nil {
				t.Fatal(err)
			}
			op.Changes = changes
		}
	case 3:
		name := rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "snapshot")
		op.Changes = []Change{{Action: rapid.SampledFrom([]Action{TakeSnapshot, DropSnapshot}).Draw(t, "action"), Name: name}}
	case 4:
		if s.drops {
			keep := time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute
			op.Changes = []Change{{Action: rapid.SampledFrom([]Action{Purge, Prune}).Draw(t, "action"), Retention: keep}}
		}
	case 5: // restore from the trash
		if list := all2(t, v.Trash(ctx)); len(list) > 0 {
			d := rapid.SampledFrom(list).Draw(t, "deleted")
			c, err := v.RestoreVersion(ctx, d.Path, d.Version)
			if err != nil {
				t.Fatal(err)
			}
			op.Changes = []Change{c}
		}
	}
	if len(op.Changes) == 0 {
		touched := make(map[string]bool)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			c := s.change(v, pick)
			if touched[c.Path] || touched[c.From] {
				continue
			}
			touched[c.Path], touched[c.From] = true, c.From != ""
			op.Changes = append(op.Changes, c)
		}
	}
	s.minutes += rapid.IntRange(0, 2).Draw(t, "minutes")
	s.add(i, op)
}

// change is a single change of what a device sees.
func (s *sim) change(v *View, pick func() (Entry, bool)) Change {
	t := s.t
	ctx := context.Background()
	e, ok := pick()
	switch what := rapid.IntRange(0, 5).Draw(t, "change"); {
	case ok && what == 0:
		return Change{Action: Delete, Path: e.Path, Base: e.Version}
	case ok && what <= 2:
		if to := s.path(); !within(to, e.Path) && !within(e.Path, to) {
			return Change{Action: Move, From: e.Path, Path: to, Base: e.Version}
		}
	case ok && what == 3:
		return Change{Action: Put, Path: e.Path, Base: e.Version, Item: s.item()}
	}
	c := Change{Action: Put, Path: s.path(), Item: s.item()}
	if e, ok, err := v.Lookup(ctx, c.Path); err != nil {
		t.Fatal(err)
	} else if ok {
		c.Base = e.Version
	}
	return c
}

func (s *sim) add(i int, op *Op) {
	body, err := op.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	o := &simOp{by: s.devices[i].next(s.minutes + rapid.IntRange(0, 1).Draw(s.t, "skew")), who: i, op: op, body: body, seen: slices.Clone(s.seen[i]),
		order: rapid.IntRange(0, 1<<20).Draw(s.t, "order")<<20 + len(s.ops[i])<<4 + i}
	s.ops[i] = append(s.ops[i], o)
	s.seen[i][i]++
}

// meet lets a device see what another one has.
func (s *sim) meet(i, j int) {
	for k := range s.seen[i] {
		s.seen[i][k] = max(s.seen[i][k], s.seen[j][k])
	}
}

func (s *sim) run() {
	n := len(s.devices)
	for range rapid.IntRange(2, 25).Draw(s.t, "steps") {
		i := rapid.IntRange(0, n-1).Draw(s.t, "device")
		if rapid.IntRange(0, 3).Draw(s.t, "meet") == 0 {
			s.meet(i, rapid.IntRange(0, n-1).Draw(s.t, "other"))
			continue
		}
		s.act(i)
	}
}

// orders returns some linear orders of all operations.
func (s *sim) orders() [][]*simOp {
	have := make([]int, len(s.ops))
	for i := range have {
		have[i] = len(s.ops[i])
	}
	var out [][]*simOp
	for k := range 3 {
		seed := uint64(rapid.Uint32().Draw(s.t, "seed"))
		out = append(out, s.linear(have, func(o *simOp) int {
			x := (uint64(o.order) + seed + uint64(k)) * 0x9e3779b97f4a7c15
			return int(x >> 20)
		}))
	}
	return out
}

// describe logs operations, for failures.
func describe(t *rapid.T, ops []*simOp) {
	for n, o := range ops {
		for i, c := range o.op.Changes {
			t.Logf("%d.%d %s %v: %v %q from %q base %.3x, %d %x, resolves %x, writes %.3x", n+1, i, o.by.DeviceName, o.by.Time>>16, c.Action, c.Path, c.From,
				c.Base, c.Item.Kind, c.Item.Content, c.Resolves, o.by.Version(i))
		}
	}
}

// kept tells where every version is.
func kept(t failer, m *memory) (current, former_ map[Version]record, next map[Version]Version) {
	current, former_, next = make(map[Version]record), make(map[Version]record), make(map[Version]Version)
	for kv, err := range m.Entries(context.Background(), all(keyEntry)) {
		check(t, err)
		e, err := decode(kv.Value, readRecord)
		check(t, err)
		current[e.version] = e
	}
	for kv, err := range m.Entries(context.Background(), all(keyHistory)) {
		check(t, err)
		f, err := decode(kv.Value, readFormer)
		check(t, err)
		former_[f.version] = f.record
		next[f.version] = f.next
	}
	return current, former_, next
}

func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(rt, 3, false)
		s.run()
		for _, order := range s.orders() {
			describe(rt, order)
			m := replay(rt, order)
			checkState(rt, m)
			if again := replay(rt, order); !maps.EqualFunc(m.values, again.values, slices.Equal) {
				rt.Fatal("two replays differ")
			}
			current, past, next := kept(rt, m)
			named := make(map[Version]bool)
			for _, o := range order {
				for _, c := range o.op.Changes {
					named[c.Base] = true
					for _, v := range c.Resolves {
						named[v] = true
					}
				}
			}
			// What somebody saw and did away with, by content.
			type content struct {
				kind   Kind
				hash   hypercrypto.Hash
				target string
			}
			known := make(map[content]bool)
			for v := range named {
				e, ok := current[v]
				if !ok {
					e = past[v]
				}
				known[content{e.item.Kind, e.item.Hash, e.item.Target}] = true
			}
			for _, o := range order {
				for i, c := range o.op.Changes {
					if c.Action != Put {
						continue
					}
					v := o.by.Version(i)
					e, isCurrent := current[v]
					if !isCurrent {
						var ok bool
						if e, ok = past[v]; !ok {
							rt.Fatalf("%q, change %d of %s is lost", c.Path, i, o.by.DeviceName)
						}
					}
					if !sameContent(&e.item, &c.Item) {
						rt.Fatalf("%q has another content", c.Path)
					}
					if isCurrent || named[v] || c.Item.Kind == Dir || known[content{e.item.Kind, e.item.Hash, e.item.Target}] {
						continue
					}
					// Nobody saw it, or the same, and did away with it: something equal has to be there.
					at := v
					for hops := 0; next[at] != (Version{}) && hops < 1000; hops++ {
						at = next[at]
						if x := past[at]; x.version == at && !sameContent(&x.item, &c.Item) {
							break
						}
						if x, ok := current[at]; ok {
							if !sameContent(&x.item, &c.Item) {
								rt.Fatalf("%q, change %d of %s gave way to something else", c.Path, i, o.by.DeviceName)
							}
						}
					}
					if next[v] == (Version{}) {
						rt.Fatalf("%q, change %d of %s was deleted by nobody", c.Path, i, o.by.DeviceName)
					}
				}
			}
		}
	})
}

// shape is what is where: versions, or contents.
func shape(t *rapid.T, walk func(func(Entry, error) bool), versions bool) map[string]string {
	out := make(map[string]string)
	last := ""
	for _, e := range all2(t, walk) {
		if last != "" && comparePaths(last, e.Path) >= 0 {
			t.Fatalf("%q comes after %q", e.Path, last)
		}
		last = e.Path
		s := fmt.Sprintf("%d %v %x %s", e.Kind, e.Mode, e.Hash, e.Target)
		if versions {
			s = fmt.Sprintf("%x %s", e.Version, s)
		}
		if e.Kind == Dir && !versions {
			s = "/"
		}
		out[e.Path] = s
	}
	return out
}

func diffShapes(a, b map[string]string) string {
	var out strings.Builder
	for _, p := range slices.Sorted(maps.Keys(a)) {
		if b[p] != a[p] {
			fmt.Fprintf(&out, "%q: %s, not %s\n", p, a[p], b[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[p]; !ok {
			fmt.Fprintf(&out, "%q: missing %s\n", p, b[p])
		}
	}
	return out.String()
}

func TestThePastCanBeSeenAndRestored(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(rt, 2, false)
		s.run()
		order := s.orders()[0]
		describe(rt, order)
		m := newMemory()
		versions := []map[string]string{{}}
		contents := []map[string]string{{}}
		for _, o := range order {
			check(rt, Apply(ctx, m, o.by, o.body))
			versions = append(versions, shape(rt, NewView(m).Walk(ctx, ""), true))
			contents = append(contents, shape(rt, NewView(m).Walk(ctx, ""), false))
		}
		v := NewView(m)
		for seq := range versions {
			tree, err := v.At(ctx, uint64(seq))
			check(rt, err)
			if d := diffShapes(shape(rt, tree.Walk(ctx, ""), true), versions[seq]); d != "" {
				rt.Fatalf("the tree at %d:\n%s", seq, d)
			}
		}
		from, to := rapid.IntRange(0, len(order)).Draw(rt, "from"), rapid.IntRange(0, len(order)).Draw(rt, "to")
		got := maps.Clone(versions[from])
		for _, d := range all2(rt, v.Diff(ctx, uint64(from), uint64(to))) {
			if d.Before == nil != (versions[from][d.Path] == "") || d.After == nil != (versions[to][d.Path] == "") {
				rt.Fatalf("difference at %q is wrong", d.Path)
			}
			if delete(got, d.Path); d.After != nil {
				got[d.Path] = versions[to][d.Path]
			}
		}
		if d := diffShapes(got, versions[to]); d != "" {
			rt.Fatalf("difference from %d to %d:\n%s", from, to, d)
		}

		tree, err := v.At(ctx, uint64(to))
		check(rt, err)
		changes, left, err := v.Restore(ctx, tree, "")
		check(rt, err)
		if len(left) > 0 {
			rt.Fatalf("not restored: %+v", left)
		}
		if len(changes) > 0 {
			body, err := (&Op{Changes: changes}).Encode()
			check(rt, err)
			check(rt, Apply(ctx, m, s.devices[0].next(1000), body))
		}
		checkState(rt, m)
		if d := diffShapes(shape(rt, NewView(m).Walk(ctx, ""), false), contents[to]); d != "" {
			rt.Fatalf("restored to %d:\n%s\nby %+v", to, d, changes)
		}
	})
}

func TestUndoAndRedo(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(rt, 2, false)
		s.run()
		order := s.orders()[0]
		describe(rt, order)
		if len(order) == 0 {
			return
		}
		last := order[len(order)-1]
		m := replay(rt, order[:len(order)-1])
		before := shape(rt, NewView(m).Walk(ctx, ""), false)
		check(rt, Apply(ctx, m, last.by, last.body))
		after := shape(rt, NewView(m).Walk(ctx, ""), false)

		turn := func(want map[string]string, redo bool) bool {
			v := NewView(m)
			rec, ok, err := v.Op(ctx, uint64(len(order)))
			if redo {
				rec, ok, err = v.Op(ctx, uint64(len(order)+1))
			}
			if err != nil || !ok {
				rt.Fatal(ok, err)
			}
			changes, left, err := v.Undo(ctx, rec)
			check(rt, err)
			merged := false
			for _, e := range all2(rt, v.Effects(ctx, rec)) {
				merged = merged || (e.What == Wrote || e.What == Absorbed) && e.From != ""
			}
			if len(left) > 0 && !merged {
				rt.Fatalf("not taken back: %+v", left)
			}
			if len(changes) == 0 {
				return false
			}
			body, err := (&Op{Changes: changes, Undoes: rec.ID, Redo: redo}).Encode()
			check(rt, err)
			check(rt, Apply(ctx, m, s.devices[last.who].next(1000), body))
			checkState(rt, m)
			// Of directories that came together, both at once with other changes, not
			// everything need come apart again.
			if merged {
				return false
			}
			if d := diffShapes(shape(rt, NewView(m).Walk(ctx, ""), false), want); d != "" {
				rt.Fatalf("redo %v:\n%s\nby %+v\nof %+v", redo, d, changes, last.op.Changes)
			}
			return true
		}
		if turn(before, false) {
			turn(after, true)
		}
	})
}

func TestDroppedVersionsLeaveNothingBehind(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(rt, 3, true)
		s.run()
		for _, order := range s.orders() {
			describe(rt, order)
			m := replay(rt, order)
			checkState(rt, m)
			// Without snapshots everything can go.
			v := NewView(m)
			op := &Op{}
			for _, x := range all2(rt, v.Snapshots(ctx)) {
				op.Changes = append(op.Changes, Change{Action: DropSnapshot, Name: x.Name})
			}
			deletes := all2(rt, v.List(ctx, ""))
			for _, e := range deletes {
				changes, err := v.DeleteAll(ctx, e.Path)
				check(rt, err)
				op.Changes = append(op.Changes, changes...)
			}
			op.Changes = append(op.Changes, Change{Action: Purge}, Change{Action: Prune}, Change{Action: Prune})
			body, err := op.Encode()
			check(rt, err)
			d := newDevice("last")
			check(rt, Apply(ctx, m, d.next(1000), body))
			checkState(rt, m)
			n, err := NewView(m).Count(ctx)
			check(rt, err)
			if n.Files+n.Dirs+n.Symlinks+n.Trash+n.History+n.Conflicts != 0 {
				rt.Fatalf("left: %+v", n)
			}
			if live := all2(rt, NewView(m).Live(ctx)); len(live) > 0 {
				rt.Fatalf("live: %+v", live)
			}
			for _, key := range m.keys {
				if strings.IndexByte("ectfhs", key[0]) >= 0 {
					rt.Fatalf("left: %q", key)
				}
			}
		}
	})
}
