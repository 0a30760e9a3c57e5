package filetree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree/diff3"
)

var bg = context.Background()

// list collects what a sequence yields.
func list[T any](t testing.TB, seq func(func(T, error) bool)) (out []T) {
	t.Helper()
	for x, err := range seq {
		check(t, err)
		out = append(out, x)
	}
	return out
}

func (w *world) lookup(path string) Entry {
	w.t.Helper()
	e, ok, err := w.view().Lookup(bg, path)
	check(w.t, err)
	if !ok {
		w.t.Fatalf("nothing is at %q:\n%s", path, w.tree())
	}
	return e
}

func (w *world) history(path string) []string {
	w.t.Helper()
	var out []string
	for _, p := range list(w.t, w.view().History(bg, path)) {
		out = append(out, fmt.Sprintf("%s: %s", p.Path, text(&p.Item, p.Content)))
	}
	return out
}

func same2(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func TestHistoryFollowsMoves(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(0), Change{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one"))
	b := w.apply(anna.next(1), put("d/f", a.Version(1), "two"))
	w.apply(anna.next(2), Change{Action: Move, From: "d", Path: "e", Base: a.Version(0)})
	c := w.apply(ben.next(3), put("e/f", b.Version(0), "three"))
	w.apply(ben.next(4), Change{Action: Move, From: "e/f", Path: "g", Base: c.Version(0)})
	d := w.apply(ben.next(5), put("g", c.Version(0), "four"))
	want := []string{"g: four", "g: three", "e/f: two", "d/f: one"}
	same2(t, "history", w.history("g"), want...)
	w.apply(anna.next(6), Change{Action: Delete, Path: "g", Base: d.Version(0)})
	same2(t, "history of what was deleted", w.history("g"), want...)
	p, ok, err := w.view().Version(bg, "d/f", a.Version(1))
	check(t, err)
	if !ok || p.Fate != Replaced || !p.Left.Equal(start.Add(time.Minute)) || p.LeftBy != anna.key {
		t.Fatalf("%v %+v", ok, p)
	}
	c2, err := w.view().RestoreVersion(bg, "d/f", a.Version(1))
	check(t, err)
	w.apply(anna.next(7), c2)
	w.want("d: /", "d/f: one", "e: /")
}

func TestTrash(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(0), put("d/f", Version{}, "one"), put("d/g", Version{}, "two"), put("d/h", Version{}, "two"))
	b := w.apply(anna.next(1), put("d/f", a.Version(0), "newer"))
	changes, err := w.view().DeleteAll(bg, "d")
	check(t, err)
	w.apply(ben.next(10), changes...)
	w.want("")
	trash := list(t, w.view().Trash(bg))
	var paths []string
	for _, d := range trash {
		paths = append(paths, d.Path)
		if d.By != ben.key || !d.At.Equal(start.Add(10*time.Minute)) {
			t.Fatalf("%+v", d)
		}
	}
	slices.Sort(paths)
	same2(t, "trash", paths, "d", "d/f", "d/g", "d/h")

	// It is not time yet.
	w.apply(anna.next(69), Change{Action: Purge, Retention: time.Hour})
	if n := len(list(t, w.view().Trash(bg))); n != 4 {
		t.Fatalf("%d in the trash", n)
	}
	c, err := w.view().RestoreVersion(bg, "d/g", a.Version(1))
	check(t, err)
	w.apply(anna.next(69), c)
	w.want("d: /", "d/g: two")
	same2(t, "history goes on", w.history("d/g"), "d/g: two", "d/g: two")
	if n := len(list(t, w.view().Garbage(bg, 0))); n != 0 {
		t.Fatalf("%d contents released", n)
	}

	w.apply(anna.next(70), Change{Action: Purge, Retention: time.Hour})
	w.want("d: /", "d/g: two")
	if n := len(list(t, w.view().Trash(bg))); n != 0 {
		t.Fatalf("%d in the trash", n)
	}
	if _, ok, err := w.view().Version(bg, "d/f", a.Version(0)); ok || err != nil {
		t.Fatal("the history of what was purged is there", err)
	}
	if _, err := w.view().RestoreVersion(bg, "d/f", b.Version(0)); !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
	}
	var released []string
	for _, g := range list(t, w.view().Garbage(bg, 5)) {
		released = append(released, string(g.Contents[0][1:]))
	}
	slices.Sort(released)
	same2(t, "released", released, "newer", "one")
	if n := len(list(t, w.view().Garbage(bg, 6))); n != 0 {
		t.Fatal("garbage is not in order")
	}

	// The same content again is not garbage.
	w.apply(ben.next(71), put("d/f", Version{}, "one"))
	if n := len(list(t, w.view().Garbage(bg, 0))); n != 1 {
		t.Fatalf("%d contents released", n)
	}
	w.want("d: /", "d/f: one", "d/g: two")
}

func TestPurgeOfAPath(t *testing.T) {
	w := newWorld(t)
	anna := newDevice("Anna")
	a := w.apply(anna.next(0), put("secret/f", Version{}, "one"), put("g", Version{}, "two"))
	w.apply(anna.next(1), Change{Action: Delete, Path: "secret/f", Base: a.Version(0)}, Change{Action: Delete, Path: "g", Base: a.Version(1)})
	w.apply(anna.next(1), Change{Action: Purge, Path: "secret"})
	trash := list(t, w.view().Trash(bg))
	if len(trash) != 1 || trash[0].Path != "g" {
		t.Fatalf("%+v", trash)
	}
	checkState(t, w.s)
}

func TestSnapshotsKeepTheirVersions(t *testing.T) {
	w := newWorld(t)
	anna := newDevice("Anna")
	a := w.apply(anna.next(0), put("f", Version{}, "one"), put("g", Version{}, "gone"))
	b := w.apply(anna.next(1), put("f", a.Version(0), "two"))
	w.apply(anna.next(2), Change{Action: TakeSnapshot, Name: "monday"})
	w.apply(anna.next(2), Change{Action: TakeSnapshot, Name: "monday"}) // the name is taken
	c := w.apply(anna.next(3), put("f", b.Version(0), "three"), Change{Action: Delete, Path: "g", Base: a.Version(1)})
	w.apply(anna.next(4), put("f", c.Version(0), "four"))
	w.apply(anna.next(5000), Change{Action: Purge}, Change{Action: Prune, Retention: time.Hour})
	same2(t, "history", w.history("f"), "f: four") // the chain is broken, not the snapshot
	checkState(t, w.s)

	snapshots := list(t, w.view().Snapshots(bg))
	if len(snapshots) != 1 || snapshots[0].Name != "monday" || snapshots[0].Seq != 3 || snapshots[0].By != anna.key {
		t.Fatalf("%+v", snapshots)
	}
	v := w.view()
	tree, err := v.At(bg, snapshots[0].Seq)
	check(t, err)
	var got []string
	for _, e := range list(t, tree.Walk(bg, "")) {
		c, err := w.view().Content(bg, e.Hash)
		check(t, err)
		got = append(got, e.Path+": "+text(&e.Item, c))
	}
	same2(t, "snapshot", got, "f: two", "g: gone")
	changes, left, err := v.Restore(bg, tree, "")
	check(t, err)
	if len(left) > 0 {
		t.Fatalf("%+v", left)
	}
	w.apply(anna.next(5001), changes...)
	w.want("f: two", "g: gone")

	// Without it they go, and what came before it was forgotten already.
	w.apply(anna.next(9000), Change{Action: DropSnapshot, Name: "monday"}, Change{Action: Prune}, Change{Action: Purge})
	same2(t, "history", w.history("f"), "f: two")
	if _, err := w.view().At(bg, 3); !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
	}
	w.want("f: two", "g: gone")
}

func TestUndoLeavesWhatOthersChanged(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(0), put("f", Version{}, "one"), put("g", Version{}, "one"), put("h", Version{}, "one"), put("i", Version{}, "one"))
	b := w.apply(anna.next(1), put("f", a.Version(0), "two"), put("g", a.Version(1), "two"), Change{Action: Delete, Path: "h", Base: a.Version(2)},
		Change{Action: Move, From: "i", Path: "j", Base: a.Version(3)})
	w.apply(ben.next(2), put("g", b.Version(1), "Ben's"))
	w.want("f: two", "g: Ben's", "j: one")

	undo := func(by Author) []Unplanned {
		v := w.view()
		for rec, err := range v.Undoable(bg, anna.key) {
			check(t, err)
			changes, left, err := v.Undo(bg, rec)
			check(t, err)
			w.applyOp(by, &Op{Changes: changes, Undoes: rec.ID})
			return left
		}
		t.Fatal("nothing to undo")
		return nil
	}
	redo := func(by Author) {
		v := w.view()
		for rec, err := range v.Redoable(bg, anna.key) {
			check(t, err)
			changes, _, err := v.Undo(bg, rec)
			check(t, err)
			w.applyOp(by, &Op{Changes: changes, Undoes: rec.ID, Redo: true})
			return
		}
		t.Fatal("nothing to redo")
	}
	left := undo(anna.next(3))
	if len(left) != 1 || left[0].Path != "g" || left[0].By != ben.key {
		t.Fatalf("%+v", left)
	}
	w.want("f: one", "g: Ben's", "h: one", "i: one")
	redo(anna.next(4))
	w.want("f: two", "g: Ben's", "j: one")
	undo(anna.next(5))
	w.want("f: one", "g: Ben's", "h: one", "i: one")
	left = undo(anna.next(6)) // the import
	if len(left) != 1 {
		t.Fatalf("%+v", left)
	}
	w.want("g: Ben's")
	if n := len(list(t, w.view().Undoable(bg, anna.key))); n != 0 {
		t.Fatalf("%d to undo", n)
	}
	redo(anna.next(7))
	redo(anna.next(8))
	w.want("f: two", "g: Ben's", "j: one")
	if n := len(list(t, w.view().Redoable(bg, anna.key))); n != 0 {
		t.Fatalf("%d to redo", n)
	}
}

// clash makes a conflict of two edits of one text.
func clash(t *testing.T, base, early, late string) (*world, *device, *device, Conflict) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(0), put("f.txt", Version{}, base))
	w.apply(anna.next(1), put("f.txt", a.Version(0), early))
	w.apply(ben.next(2), put("f.txt", a.Version(0), late))
	c := list(t, w.view().Conflicts(bg))
	if len(c) != 1 || c[0].Of != "f.txt" || c[0].Original == nil || c[0].Copy.Path != "f (conflict, Anna, 2026-11-25 14.04.22).txt" {
		t.Fatalf("%+v", c)
	}
	return w, anna, ben, c[0]
}

func TestConflictsAreSettledOnce(t *testing.T) {
	w, anna, ben, c := clash(t, "one", "early", "late")
	w.apply(ben.next(3), c.KeepCopy())
	w.want("f.txt: early")
	same2(t, "history", w.history("f.txt"), "f.txt: early", "f.txt: late", "f (conflict, Anna, 2026-11-25 14.04.22).txt: early", "f.txt: one")
	by := w.apply(anna.next(4), c.Settle(file("merged"))) // at the same time
	w.want("f.txt: early")
	var why []Reason
	rec, _, err := w.view().Op(bg, 5)
	check(t, err)
	if rec.ID != by.ID() {
		t.Fatalf("%+v", rec)
	}
	for _, e := range list(t, w.view().Effects(bg, rec)) {
		why = append(why, e.Reason)
	}
	if !slices.Equal(why, []Reason{Settled}) {
		t.Fatal(why)
	}

	w, anna, _, c = clash(t, "one", "early", "late")
	w.apply(anna.next(3), c.KeepOriginal())
	w.want("f.txt: late")
	if n := len(list(t, w.view().Trash(bg))); n != 1 {
		t.Fatalf("%d in the trash", n)
	}
}

func TestCopiesThatAreEditedOrMoved(t *testing.T) {
	w, anna, _, c := clash(t, "one", "early", "late")
	e := w.apply(anna.next(3), put(c.Copy.Path, c.Copy.Version, "early, edited"))
	again := list(t, w.view().Conflicts(bg))
	if len(again) != 1 || again[0].Copy.Version != e.Version(0) {
		t.Fatalf("%+v", again)
	}
	w.apply(anna.next(4), c.KeepCopy()) // of what it was before
	w.want("f (conflict, Anna, 2026-11-25 14.04.22).txt: early, edited", "f.txt: late")
	w.apply(anna.next(5), Change{Action: Move, From: c.Copy.Path, Path: "mine.txt", Base: e.Version(0)})
	w.want("f.txt: late", "mine.txt: early, edited")
	if n := len(list(t, w.view().Conflicts(bg))); n != 0 {
		t.Fatalf("%d conflicts", n)
	}
}

func TestTextIsMerged(t *testing.T) {
	w, anna, ben, c := clash(t, "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n")
	if c.Merger(ben.key) || !c.Merger(anna.key) {
		t.Fatal("the wrong device is to merge")
	}
	base, ok, err := w.view().CommonAncestor(bg, *c.Original, c.Copy)
	check(t, err)
	if !ok {
		t.Fatal("no common ancestor")
	}
	merged, ok := diff3.Merge(base.Content[1:], c.Original.Content[1:], c.Copy.Content[1:])
	if !ok {
		t.Fatal("not merged")
	}
	w.apply(anna.next(3), c.Settle(file(string(merged))))
	w.apply(ben.next(4), c.Settle(file(string(merged)))) // did not see it
	w.want("f.txt: A\nb\nC\n")
	checkState(t, w.s)
}

func TestListAndOrder(t *testing.T) {
	w := newWorld(t)
	w.apply(newDevice("Anna").next(0), put("a.txt", Version{}, ""), put("a/z/z", Version{}, ""), put("a!", Version{}, ""), put("a/b", Version{}, ""), put("b", Version{}, ""))
	paths := func(seq func(func(Entry, error) bool)) (out []string) {
		for _, e := range list(t, seq) {
			out = append(out, e.Path)
		}
		return out
	}
	v := w.view()
	same2(t, "walk", paths(v.Walk(bg, "")), "a", "a/b", "a/z", "a/z/z", "a!", "a.txt", "b")
	same2(t, "walk", paths(v.Walk(bg, "a")), "a/b", "a/z", "a/z/z")
	same2(t, "list", paths(v.List(bg, "")), "a", "a!", "a.txt", "b")
	same2(t, "list", paths(v.List(bg, "a")), "a/b", "a/z")
	same2(t, "list of a file", paths(v.List(bg, "b")))
	n, err := v.Count(bg)
	check(t, err)
	if n.Files != 5 || n.Dirs != 2 || n.Ops != 1 {
		t.Fatalf("%+v", n)
	}
}

// All references that authors gave for a content are kept, so that a wrong one does
// not hide the right one.
func TestContentsWithSeveralReferences(t *testing.T) {
	w := newWorld(t)
	anna, mallory := newDevice("Anna"), newDevice("Mallory")
	wrong := put("m", Version{}, "x")
	wrong.Item.Content = []byte("elsewhere")
	w.apply(mallory.next(0), wrong)
	w.apply(anna.next(1), put("f", Version{}, "x"))
	w.apply(anna.next(2), put("g", Version{}, "x"))
	all, err := w.view().Contents(bg, hypercrypto.Sum([]byte("x")))
	check(t, err)
	if len(all) != 2 || string(all[0]) != "elsewhere" || string(all[1][1:]) != "x" {
		t.Fatalf("%q", all)
	}
	checkState(t, w.s)
}

func TestPositionAtATime(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	w.apply(anna.next(10), put("a", Version{}, ""))
	w.apply(anna.next(20), put("b", Version{}, ""))
	w.apply(ben.next(5), put("late", Version{}, "")) // was away
	w.apply(ben.next(30), put("c", Version{}, ""))
	for minutes, want := range map[int]uint64{0: 0, 9: 0, 10: 1, 15: 1, 20: 3, 29: 3, 30: 4, 100: 4} {
		got, err := w.view().PositionAt(bg, start.Add(time.Duration(minutes)*time.Minute))
		check(t, err)
		if got != want {
			t.Errorf("after %d minutes: %d, not %d", minutes, got, want)
		}
	}
}

func TestDifferenceOfTwoStates(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(0), put("d/f", Version{}, "one"), put("g", Version{}, "two"))
	other := world{t, w.s.clone()}
	x := ben.next(1)
	other.apply(x, put("d/f", a.Version(0), "Ben's"))
	// Here something came in between.
	w.apply(anna.next(2), Change{Action: Move, From: "g", Path: "h", Base: a.Version(1)})
	w.apply(x, put("d/f", a.Version(0), "Ben's"))
	common, err := CommonPosition(bg, other.view(), w.view())
	check(t, err)
	if common != 1 {
		t.Fatal(common)
	}
	var got []string
	for _, d := range list(t, DiffViews(bg, other.view(), w.view())) {
		got = append(got, fmt.Sprintf("%s %v %v from %q to %q", d.Path, d.Before != nil, d.After != nil, d.From, d.MovedTo))
	}
	same2(t, "differences", got, `g true false from "" to "h"`, `h false true from "g" to ""`)
}

func TestNamesOfCopies(t *testing.T) {
	for _, c := range []struct{ device, path, want string }{
		{"Anna's laptop", "report.txt", "report (conflict, Anna's laptop, 2026-11-25 14.03.22).txt"},
		{"a/b\\c:d\x00", "f", "f (conflict, a-b-c-d-, 2026-11-25 14.03.22)"},
		{"", ".profile", ".profile (conflict, a device, 2026-11-25 14.03.22)"},
		{"A", strings.Repeat("ä", 127), strings.Repeat("ä", 110) + " (conflict, A, 2026-11-25 14.03.22)"},
		{strings.Repeat("ß", 100), "f", "f (conflict, " + strings.Repeat("ß", 32) + ", 2026-11-25 14.03.22)"},
	} {
		w := newWorld(t)
		d := newDevice(c.device)
		w.apply(d.next(0), put(c.path, Version{}, "old"))
		w.apply(newDevice("Ben").next(1), put(c.path, Version{}, "new"))
		conflicts := list(t, w.view().Conflicts(bg))
		if len(conflicts) != 1 || conflicts[0].Copy.Path != c.want {
			t.Errorf("%q of %q: %+v", c.path, c.device, conflicts)
		}
		checkState(t, w.s)
	}
}

// A copy that has no room beside its original goes further up.
func TestCopiesWithoutRoom(t *testing.T) {
	w := newWorld(t)
	dir := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 199)+"/", 20), "/") // 3999 bytes
	path := dir + "/" + strings.Repeat("f", 90)
	w.apply(newDevice("Anna").next(0), put(path, Version{}, "old"))
	w.apply(newDevice("Ben").next(1), put(path, Version{}, "new"))
	c := list(t, w.view().Conflicts(bg))
	if len(c) != 1 || CheckPath(c[0].Copy.Path) != nil || len(c[0].Copy.Path) >= len(dir) {
		t.Fatalf("%+v", c)
	}
	checkState(t, w.s)
}

func TestMovesThatWouldMakePathsTooLong(t *testing.T) {
	w := newWorld(t)
	anna := newDevice("Anna")
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 199)+"/", 19), "/")
	w.apply(anna.next(0), put("d/"+long+"/f", Version{}, "one"), put("e/"+long[:399]+"/g", Version{}, "two"))
	d := w.lookup("d")
	w.apply(anna.next(1), Change{Action: Move, From: "d", Path: "e/" + long[:399] + "/d", Base: d.Version})
	if w.lookup("d").Version != d.Version {
		t.Fatal("moved")
	}
	checkState(t, w.s)
}
