package filetree

import (
	"fmt"
	"testing"
)

func TestPutMakesDirectories(t *testing.T) {
	w := newWorld(t)
	w.apply(newDevice("Anna").next(0), put("a/b/c.txt", Version{}, "one"), put("a/d", Version{}, "two"), put("a.txt", Version{}, "three"))
	w.want("a: /", "a/b: /", "a/b/c.txt: one", "a/d: two", "a.txt: three")
}

func TestEditOfWhatTheAuthorSawReplaces(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(0), put("f", Version{}, "one"))
	w.apply(ben.next(1), put("f", a.Version(0), "two"))
	w.want("f: two")
}

// Two devices, each of which saw the same state, in both orders.
func TestConcurrentChanges(t *testing.T) {
	const anna, ben = "Anna's laptop", "Ben"
	type tree []string
	cases := []struct {
		name string
		// before is what both saw; early and late follow from it. Base {1} stands for
		// the version of the first change of before, and so on.
		before, early, late []Change
		want                tree // in both orders, unless swapped is given
		swapped             tree
	}{
		{
			name:   "edit and edit: the newer one stays",
			before: []Change{put("report.txt", Version{}, "one")},
			early:  []Change{put("report.txt", Version{1}, "early")},
			late:   []Change{put("report.txt", Version{1}, "late")},
			want:   tree{"report (conflict, Anna's laptop, 2026-11-25 14.04.22).txt: early", "report.txt: late"},
		},
		{
			name:   "the same edit twice",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{put("f", Version{1}, "same")},
			late:   []Change{put("f", Version{1}, "same")},
			want:   tree{"f: same"},
		},
		{
			name:  "create and create",
			early: []Change{put("d/f", Version{}, "early")},
			late:  []Change{put("d/f", Version{}, "late")},
			want:  tree{"d: /", "d/f: late", "d/f (conflict, Anna's laptop, 2026-11-25 14.04.22): early"},
		},
		{
			name:   "edit and delete: the edit stays",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{put("f", Version{1}, "edited")},
			late:   []Change{{Action: Delete, Path: "f", Base: Version{1}}},
			want:   tree{"f: edited"},
		},
		{
			name:   "delete and edit: the edit stays",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Delete, Path: "f", Base: Version{1}}},
			late:   []Change{put("f", Version{1}, "edited")},
			want:   tree{"f: edited"},
		},
		{
			name:   "delete and delete",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Delete, Path: "f", Base: Version{1}}},
			late:   []Change{{Action: Delete, Path: "f", Base: Version{1}}},
			want:   tree{""},
		},
		{
			name:   "move and edit: the edit follows",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Move, From: "f", Path: "g", Base: Version{1}}},
			late:   []Change{put("f", Version{1}, "edited")},
			want:   tree{"g: edited"},
		},
		{
			name:   "edit and move",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{put("f", Version{1}, "edited")},
			late:   []Change{{Action: Move, From: "f", Path: "g", Base: Version{1}}},
			want:   tree{"g: edited"},
		},
		{
			name:   "move and delete: the move stays",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Move, From: "f", Path: "g", Base: Version{1}}},
			late:   []Change{{Action: Delete, Path: "f", Base: Version{1}}},
			want:   tree{"g: one"},
		},
		{
			name:   "move and move: the newer one stays",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Move, From: "f", Path: "g", Base: Version{1}}},
			late:   []Change{{Action: Move, From: "f", Path: "h", Base: Version{1}}},
			want:   tree{"h: one"},
		},
		{
			name:   "move and move to one path",
			before: []Change{put("f", Version{}, "one"), put("g", Version{}, "two")},
			early:  []Change{{Action: Move, From: "f", Path: "h", Base: Version{1}}},
			late:   []Change{{Action: Move, From: "g", Path: "h", Base: Version{2}}},
			want:   tree{"h: two", "h (conflict, Cleo, 2026-11-25 14.03.22): one"},
		},
		{
			name:   "move to a path and create there",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Move, From: "f", Path: "g", Base: Version{1}}},
			late:   []Change{put("g", Version{}, "new")},
			want:   tree{"g: new", "g (conflict, Cleo, 2026-11-25 14.03.22): one"},
		},
		{
			name:  "file and directory: the directory has the name",
			early: []Change{put("x", Version{}, "file")},
			late:  []Change{put("x/f", Version{}, "inside")},
			want:  tree{"x: /", "x/f: inside", "x (conflict, Anna's laptop, 2026-11-25 14.04.22): file"},
		},
		{
			name:  "directory and newer file",
			early: []Change{put("x/f", Version{}, "inside")},
			late:  []Change{put("x", Version{}, "file")},
			want:  tree{"x: /", "x/f: inside", "x (conflict, Ben, 2026-11-25 14.05.22): file"},
		},
		{
			name:   "delete of a directory and a new file in it",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one")},
			early:  []Change{{Action: Delete, Path: "d/f", Base: Version{2}}, {Action: Delete, Path: "d", Base: Version{1}}},
			late:   []Change{put("d/new", Version{}, "new")},
			want:   tree{"d: /", "d/new: new"},
		},
		{
			name:   "move of a directory and an edit in it",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/s/f", Version{}, "one"), put("d/g", Version{}, "two")},
			early:  []Change{{Action: Move, From: "d", Path: "e/d", Base: Version{1}}},
			late:   []Change{put("d/s/f", Version{2}, "edited")},
			want:   tree{"e: /", "e/d: /", "e/d/g: two", "e/d/s: /", "e/d/s/f: edited"},
		},
		{
			name:   "move of a directory and a delete in it",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one"), put("d/g", Version{}, "two")},
			early:  []Change{{Action: Move, From: "d", Path: "e", Base: Version{1}}},
			late:   []Change{{Action: Delete, Path: "d/f", Base: Version{2}}},
			want:   tree{"e: /", "e/g: two"},
		},
		{
			name:   "move of a directory and a move in it",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one")},
			early:  []Change{{Action: Move, From: "d", Path: "e", Base: Version{1}}},
			late:   []Change{{Action: Move, From: "d/f", Path: "d/g", Base: Version{2}}},
			want:   tree{"e: /", "e/g: one"},
		},
		{
			name:   "a directory moved to two places",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one")},
			early:  []Change{{Action: Move, From: "d", Path: "e", Base: Version{1}}},
			late:   []Change{{Action: Move, From: "d", Path: "g", Base: Version{1}}},
			want:   tree{"g: /", "g/f: one"},
		},
		{
			name: "two directories moved into each other",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one"),
				{Action: Put, Path: "e", Item: dir(0o755)}, put("e/f", Version{}, "two")},
			early:   []Change{{Action: Move, From: "d", Path: "e/d", Base: Version{1}}},
			late:    []Change{{Action: Move, From: "e", Path: "d/e", Base: Version{3}}},
			want:    tree{"d: /", "d/e: /", "d/e/d: /", "d/e/d/f: one", "d/e/f: two"},
			swapped: tree{"e: /", "e/d: /", "e/d/e: /", "e/d/e/f: two", "e/d/f: one"},
		},
		{
			name: "two directories moved to one path",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}, put("d/f", Version{}, "one"), put("d/g", Version{}, "same"),
				{Action: Put, Path: "e", Item: dir(0o755)}, put("e/f", Version{}, "two"), put("e/g", Version{}, "same"), put("e/s/x", Version{}, "x")},
			early: []Change{{Action: Move, From: "d", Path: "t", Base: Version{1}}},
			late:  []Change{{Action: Move, From: "e", Path: "t", Base: Version{4}}},
			want:  nil, // checked below
		},
		{
			name:  "two directories with different modes",
			early: []Change{{Action: Put, Path: "d", Item: dir(0o700)}},
			late:  []Change{{Action: Put, Path: "d", Item: dir(0o750)}},
			want:  tree{"d: /"},
		},
		{
			name:   "two modes",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{{Action: Put, Path: "f", Base: Version{1}, Item: executable("one")}},
			late:   []Change{put("f", Version{1}, "one")},
			want:   tree{"f: one"}, // as it was before: the newer one
		},
		{
			name:   "mode and edit: the edit stays",
			before: []Change{put("f", Version{}, "one")},
			early:  []Change{put("f", Version{1}, "edited")},
			late:   []Change{{Action: Put, Path: "f", Base: Version{1}, Item: executable("one")}},
			want:   tree{"f: edited"},
		},
		{
			name:    "mode and delete: the delete stays",
			before:  []Change{put("f", Version{}, "one")},
			early:   []Change{{Action: Put, Path: "f", Base: Version{1}, Item: executable("one")}},
			late:    []Change{{Action: Delete, Path: "f", Base: Version{1}}},
			want:    tree{""},
			swapped: tree{"f: one"},
		},
		{
			name:   "create in a directory that becomes a file",
			before: []Change{{Action: Put, Path: "d", Item: dir(0o755)}},
			early:  []Change{{Action: Delete, Path: "d", Base: Version{1}}, put("d", Version{}, "file")},
			late:   []Change{put("d/f", Version{}, "inside")},
			want:   tree{"d: /", "d/f: inside", "d (conflict, Anna's laptop, 2026-11-25 14.04.22): file"},
		},
	}
	for _, c := range cases {
		for _, swap := range []bool{false, true} {
			name := c.name
			if swap {
				name += ", swapped"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				d := newDevice("Cleo").next(0)
				if len(c.before) > 0 {
					w.apply(d, c.before...)
				}
				bases := func(cs []Change) []Change {
					out := append([]Change(nil), cs...)
					for i := range out {
						if b := &out[i].Base; *b != (Version{}) {
							*b = d.Version(int(b[0]) - 1)
						}
					}
					return out
				}
				first := func() { w.apply(newDevice(anna).next(1), bases(c.early)...) }
				second := func() { w.apply(newDevice(ben).next(2), bases(c.late)...) }
				if swap {
					first, second = second, first
				}
				first()
				second()
				want := c.want
				if swap && c.swapped != nil {
					want = c.swapped
				}
				if want == nil {
					t.Log(w.tree())
					checkState(t, w.s)
					return
				}
				w.want(want...)
			})
		}
	}
}

// A device that goes on with its version of a file while another's has the name.
func TestEditsAfterAConflictGoOnInTheCopy(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(1), put("d/f", Version{}, "one"))
	b := anna.next(3)
	w.apply(ben.next(2), put("d/f", Version{}, "Ben's"))
	w.apply(b, put("d/f", a.Version(0), "two"))
	w.apply(anna.next(4), Change{Action: Move, From: "d/f", Path: "d/g", Base: b.Version(0)})
	w.want("d: /", "d/f: Ben's", "d/g: two")
}

// Whoever comes first, equal imports make no conflict, and edits that follow are
// edits of both.
// Who has not seen yet that a file was moved goes on to edit it where it was. All of that
// goes to where it is now.
func TestEditsAfterAMoveThatWasNotSeenFollowIt(t *testing.T) {
	for name, c := range map[string]struct {
		moves []Change // with base {1}: of f, {2}: of g
		want  []string
	}{
		"moved":             {[]Change{{Action: Move, From: "f", Path: "x", Base: Version{1}}}, []string{"g: g", "x: three"}},
		"moved and deleted": {[]Change{{Action: Move, From: "f", Path: "x", Base: Version{1}}, {Action: Delete, Path: "x", Base: Version{1}}}, []string{"g: g", "x: three"}},
		"swapped": {[]Change{
			{Action: Move, From: "f", Path: "x", Base: Version{1}}, {Action: Move, From: "g", Path: "f", Base: Version{2}},
			{Action: Move, From: "x", Path: "g", Base: Version{1}},
		}, []string{"f: g", "g: three"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			anna, ben := newDevice("Anna"), newDevice("Ben")
			first := w.apply(anna.next(0), put("f", Version{}, "one"), put("g", Version{}, "g"))
			for i := range c.moves {
				c.moves[i].Base = first.Version(int(c.moves[i].Base[0]) - 1)
			}
			w.apply(ben.next(1), c.moves...)
			second := w.apply(anna.next(2), put("f", first.Version(0), "two"))
			w.apply(anna.next(3), put("f", second.Version(0), "three"))
			w.want(c.want...)
		})
	}
}

func TestTwoImportsOfOneFolder(t *testing.T) {
	w := newWorld(t)
	anna, ben := newDevice("Anna"), newDevice("Ben")
	a := w.apply(anna.next(1), put("d/f", Version{}, "one"), put("d/g", Version{}, "two"))
	b := w.apply(ben.next(2), put("d/f", Version{}, "one"), put("d/g", Version{}, "two"))
	w.apply(ben.next(3), put("d/f", b.Version(0), "one, by Ben"))
	w.apply(anna.next(3), put("d/g", a.Version(1), "two, by Anna"))
	w.want("d: /", "d/f: one, by Ben", "d/g: two, by Anna")
}

// Many devices with the same file: its list of parents stays short and nothing is
// lost.
func TestManyEqualImports(t *testing.T) {
	w := newWorld(t)
	var by []Author
	for i := range 30 {
		by = append(by, w.apply(newDevice(fmt.Sprint("device ", i)).next(i), put("f", Version{}, "one")))
		checkState(t, w.s)
	}
	if n := len(w.lookup("f").Parents); n > maxParents {
		t.Fatalf("%d parents", n)
	}
	if n := len(w.history("f")); n != 30 {
		t.Fatalf("%d versions", n)
	}
	w.apply(newDevice("Anna").next(50), put("f", by[17].Version(0), "two"))
	w.want("f: two")
}

func executable(content string) Item {
	it := file(content)
	it.Mode = 0o755
	return it
}
