package foldersync

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/internal/filetree"
)

func TestRenamesMoveNoContent(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	for i := range 20 {
		a.write(fmt.Sprintf("dir/sub/f%d", i), fmt.Sprint(i))
	}
	a.write("large", strings.Repeat("large", 100_000))
	a.write("dir/edited", "before")
	a.once()
	b.once()
	stored, opened, commits := tree.stored, tree.opened, tree.commits
	must(t, os.Rename(a.path("dir"), a.path("new")), os.Mkdir(a.path("other"), 0o755), os.Rename(a.path("large"), a.path("other/large")))
	a.once()
	if tree.stored != stored || tree.commits > commits+2 {
		t.Errorf("stored %d bytes in %d commits", tree.stored-stored, tree.commits-commits)
	}
	if n := a.Status().Moved; n != 2 {
		t.Errorf("%d moves", n)
	}
	inode := func(name string) uint64 {
		info, err := os.Lstat(b.path(name))
		must(t, err)
		s, _ := statOf(info)
		return s.ino
	}
	before := inode("large")
	b.once()
	if tree.opened != opened {
		t.Errorf("%d contents were opened", tree.opened-opened)
	}
	if inode("other/large") != before {
		t.Error("written anew")
	}
	wantEqual(t, "folder b", b.texts(), a.texts())
	wantEqual(t, "tree", tree.texts(), a.texts())

	// With edits inside, and moves within what is moved.
	must(t, os.Rename(b.path("new"), b.path("newer")), os.Rename(b.path("newer/sub"), b.path("newer/bus")))
	b.write("newer/edited", "after")
	must(t, os.Remove(b.path("newer/bus/f3")))
	b.write("newer/bus/added", "added")
	stored = tree.stored
	b.once()
	a.once()
	if n := tree.stored - stored; n != len("after")+len("added") {
		t.Errorf("stored %d bytes", n)
	}
	wantEqual(t, "folder a", a.texts(), b.texts())
	wantEqual(t, "tree", tree.texts(), b.texts())
}

// So do those of folders whose changes do not fit into one chunk, wherever in the order of
// names the new one is.
func TestRenamesOfLargeFoldersMoveNoContent(t *testing.T) {
	const files = pullChunk * 5 / 8
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	for i := range files {
		a.write(fmt.Sprintf("many/d%d/f%04d", i%9, i), fmt.Sprint("content ", i))
	}
	a.once()
	b.once()
	stored, opened := tree.stored, tree.opened
	from := "many"
	for _, to := range []string{"lots", "ssorted behind"} {
		must(t, os.Rename(a.path(from), a.path(to)))
		from = to
		moved := b.Status().Moved
		a.once()
		b.once()
		if tree.stored != stored || tree.opened != opened {
			t.Errorf("%s: %d bytes stored, %d contents opened", to, tree.stored-stored, tree.opened-opened)
		}
		if n := b.Status().Moved - moved; n != files {
			t.Errorf("%s: %d files of %d moved", to, n, files)
		}
		wantEqual(t, "folder b", b.texts(), a.texts())
	}
}

func TestSwappedNames(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	a.write("x/1", "one")
	a.write("y/2", "two")
	a.write("p", "p")
	a.write("q", "qq")
	a.once()
	b.once()
	for _, pair := range [][2]string{{"x", "y"}, {"p", "q"}} {
		must(t, os.Rename(a.path(pair[0]), a.path("tmp")), os.Rename(a.path(pair[1]), a.path(pair[0])), os.Rename(a.path("tmp"), a.path(pair[1])))
	}
	a.once()
	b.once()
	wantEqual(t, "folder b", b.texts(), map[string]string{"x/": "", "x/2": "two", "y/": "", "y/1": "one", "p": "qq", "q": "p"})
	wantEqual(t, "tree", tree.texts(), b.texts())
}

// Edits of files follow them if their names are swapped or go around, also if they come from
// somewhere else meanwhile. What an editor replaces stays where it is.
func TestNamesThatGoAround(t *testing.T) {
	for name, c := range map[string]struct {
		renames [][2]string
		want    map[string]string
	}{
		"swapped": {[][2]string{{"1", "x"}, {"2", "1"}, {"x", "2"}}, map[string]string{"1": "two", "2": "one", "3": "three"}},
		"around":  {[][2]string{{"3", "x"}, {"2", "3"}, {"1", "2"}, {"x", "1"}}, map[string]string{"1": "three", "2": "one", "3": "two"}},
		"on":      {[][2]string{{"3", "4"}, {"2", "3"}, {"1", "2"}}, map[string]string{"2": "one", "3": "two", "4": "three"}},
		"over":    {[][2]string{{"3", "4"}, {"1", "3"}}, map[string]string{"2": "two", "3": "one", "4": "three"}},
		"onto":    {[][2]string{{"1", "3"}}, map[string]string{"2": "two", "3": "one"}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			a, b := newBox(t, tree, nil), newBox(t, tree, nil)
			a.write("1", "one")
			a.write("2", "two")
			a.write("3", "three")
			a.once()
			b.once()
			before := make(map[string]filetree.Version)
			for path, text := range tree.texts() {
				before[text] = tree.entries[path].Version
			}
			for _, r := range c.renames {
				must(t, os.Rename(a.path(r[0]), a.path(r[1])))
			}
			a.once()
			b.once()
			wantEqual(t, "tree", tree.texts(), c.want)
			wantEqual(t, "folder a", a.texts(), c.want)
			wantEqual(t, "folder b", b.texts(), c.want)
			for path, text := range c.want {
				if tree.entries[path].Version != before[text] && name != "onto" {
					t.Errorf("%q is not what was moved there", path)
				}
			}
		})
	}
	t.Run("a backup", func(t *testing.T) {
		tree := newMemTree()
		a := newBox(t, tree, nil)
		a.write("1", "one")
		a.once()
		before := tree.entries["1"].Version
		must(t, os.Rename(a.path("1"), a.path("1.bak")))
		a.write("1", "more")
		a.once()
		if e := tree.entries["1.bak"]; e.Version == before {
			t.Error("what was edited moved to the backup")
		}
		wantEqual(t, "tree", tree.texts(), map[string]string{"1": "more", "1.bak": "one"})
	})
}

// A file that was renamed in one place and edited in another is both.
func TestRenameMeetsEdit(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	a.write("file", "before")
	a.once()
	b.once()
	must(t, os.Rename(a.path("file"), a.path("renamed")))
	b.write("file", "after")
	a.once()
	b.once()
	a.once()
	wantEqual(t, "folders", a.texts(), b.texts())
	wantEqual(t, "tree", tree.texts(), a.texts())
	found := false
	for _, text := range a.texts() {
		found = found || text == "after"
	}
	if !found {
		t.Errorf("%q", a.texts())
	}
}

// interrupted is a tree in which something happens just after a move was committed.
type interrupted struct {
	*view
	after func()
}

func (x *interrupted) Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error) {
	versions, err := x.view.Commit(ctx, changes)
	if err == nil && changes[0].Action == filetree.Move {
		x.after()
	}
	return versions, err
}

// during begins something and gives it time to end, which it needs not to have had.
func during(fn func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	for until := time.Now().Add(100 * time.Millisecond); len(done) == 0 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	return done
}

// What is written to disk while a move is being committed does not make the index forget
// what moved: an edit that comes with it is no conflict.
func TestPullDuringAMove(t *testing.T) {
	for name, c := range map[string]struct{ from, to string }{"a folder": {"dir", "new"}, "a file": {"dir/file", "dir/renamed"}} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			x := &interrupted{view: tree.view()}
			var pulled <-chan error
			a, b := newBox(t, tree, nil), newBoxOn(t, tree, x, nil)
			a.write("dir/file", "before")
			a.write("dir/other", "other")
			a.once()
			b.once()
			edited := c.to
			if c.from == "dir" {
				edited += "/file"
			}
			must(t, os.Rename(b.path(c.from), b.path(c.to)))
			x.after = func() {
				a.once()
				a.write(edited, "after")
				a.once()
				pulled = during(func() error { return b.pull(t.Context()) })
			}
			b.once()
			must(t, <-pulled)
			b.once()
			a.once()
			wantEqual(t, "folder b", b.texts(), a.texts())
			want := map[string]string{"dir/": "", "dir/renamed": "after", "dir/other": "other"}
			if c.from == "dir" {
				want = map[string]string{"new/": "", "new/file": "after", "new/other": "other"}
			}
			wantEqual(t, "tree", tree.texts(), want)
		})
	}
}

// Both paths of a rename are looked at together, though one changed a little later.
func TestChangesThatBelongTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dirtySet
		d.after("old", quietTime)
		time.Sleep(together / 2)
		d.after("new", quietTime)
		time.Sleep(together)
		d.after("later", quietTime)
		if paths, next := d.take(time.Now()); len(paths) > 0 || time.Until(next) != quietTime-together-together/2 {
			t.Fatalf("%q are due, the next in %v", paths, time.Until(next))
		}
		time.Sleep(quietTime - together - together/2)
		paths, next := d.take(time.Now())
		slices.Sort(paths)
		if !slices.Equal(paths, []string{"new", "old"}) || time.Until(next) != together+together/2 {
			t.Errorf("%q are due, the next in %v", paths, time.Until(next))
		}
	})
}

func TestCopiesAndTouchesStoreNothing(t *testing.T) {
	tree := newMemTree()
	a := newBox(t, tree, nil)
	large := strings.Repeat("large", 100_000)
	a.write("large", large)
	a.write("small", "small")
	a.once()
	stored := tree.stored
	a.write("copy/small", "small")
	a.write("copy/large", large)
	a.write("large", large)
	a.write("small", "small")
	a.once()
	if tree.stored != stored {
		t.Errorf("stored %d bytes", tree.stored-stored)
	}
	if !tree.entries["large"].Modified.Equal(a.mtime("large")) {
		t.Error("the time of a file that was touched is not in the tree")
	}
}

// Where the inode tells nothing the content does.
func TestRenamesByCopyAreMoves(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	a.write("old", "the content")
	a.write("unrelated", "some thing!")
	a.once()
	b.once()
	version, stored, opened := tree.entries["old"].Version, tree.stored, tree.opened
	a.write("new/name", "the content")
	must(t, os.Remove(a.path("old")), os.Remove(a.path("unrelated")))
	a.once()
	b.once()
	if a.Status().Moved != 1 || tree.stored != stored || tree.opened != opened {
		t.Errorf("%d moves, %d bytes stored, %d contents opened", a.Status().Moved, tree.stored-stored, tree.opened-opened)
	}
	// The time of the copy follows.
	if e := tree.entries["new/name"]; e.Version == version || !e.Modified.Equal(a.mtime("new/name")) {
		t.Errorf("%+v", e)
	}
	wantEqual(t, "folder b", b.texts(), map[string]string{"new/": "", "new/name": "the content"})
}

// Names as long as names can be are swapped like others.
func TestSwappedLongNames(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	one, two := strings.Repeat("a", filetree.MaxName), strings.Repeat("b", filetree.MaxName)
	b.write(one, "1")
	b.write(two, "2")
	b.once()
	stored := tree.stored
	must(t, os.Rename(b.path(one), b.path("x")), os.Rename(b.path(two), b.path(one)), os.Rename(b.path("x"), b.path(two)))
	b.once()
	wantEqual(t, "tree", tree.texts(), map[string]string{one: "2", two: "1"})
	if tree.stored != stored {
		t.Error("content was stored")
	}
}

// One moves a file out of a folder that another renames, and its change turns out to come
// first: the rename has less to move than it seemed. The tree tells of nothing below the new
// name, where the file is on disk.
func TestAFileThatLeftAFolderBeforeItWasRenamed(t *testing.T) {
	pool := newMemTree()
	one, two := newFork(pool, 1), newFork(pool, 2)
	a, b := newBoxOn(t, pool, one, nil), newBoxOn(t, pool, two, nil)
	a.write("d/x", "1")
	a.write("d/y", "2")
	a.once()
	must(t, exchange(one, two))
	b.once()
	must(t, os.Rename(a.path("d/x"), a.path("x")), os.Rename(b.path("d"), b.path("e")))
	must(t, a.push(t.Context(), []string{"d", "x"}))
	told, then := len(two.log), maps.Clone(two.entries)
	must(t, b.push(t.Context(), []string{"d", "e"}))
	two.log, two.entries = two.log[:told], then // the next differences are from here on
	must(t, exchange(one, two))
	for range 2 {
		a.once()
		b.once()
	}
	want := map[string]string{"e/": "", "e/y": "2", "x": "1"}
	wantEqual(t, "a", a.texts(), want)
	wantEqual(t, "b", b.texts(), want)
}
