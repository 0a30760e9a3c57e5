package foldersync

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestFirstImportAndJoin(t *testing.T) {
	tree := newMemTree()
	a := newBox(t, tree, nil)
	a.write("a.txt", "one")
	a.write("sub/b.txt", "two")
	a.write("sub/deep/c", strings.Repeat("large", 100_000))
	must(t, os.MkdirAll(a.path("empty"), 0o755), os.Symlink("sub/b.txt", a.path("link")))
	must(t, os.Chmod(a.path("a.txt"), 0o640))
	dir, err := os.OpenRoot(a.root)
	must(t, err)
	must(t, setLinkTime(dir, "link", time.Unix(1_600_000_000, 123_456_789)), dir.Close())
	a.once()
	want := a.texts()
	wantEqual(t, "tree", tree.texts(), want)
	b := newBox(t, tree, nil)
	b.once()
	wantEqual(t, "second folder", b.texts(), want)
	for _, name := range []string{"a.txt", "link"} {
		if !b.mtime(name).Equal(a.mtime(name)) {
			t.Errorf("time of %s: %v, want %v", name, b.mtime(name), a.mtime(name))
		}
	}
	info, err := os.Stat(b.path("a.txt"))
	must(t, err)
	if info.Mode() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	commits := tree.commits
	for _, f := range []*box{a, b} {
		f.once()
		f.restart()
		f.once()
		if s := f.Status(); len(s.Problems) > 0 || s.State != StateIdle {
			t.Errorf("%+v", s)
		}
	}
	if tree.commits != commits {
		t.Errorf("%d commits although nothing changed", tree.commits-commits)
	}
}

func TestEditsGoBothWays(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	a.write("x", "1")
	a.write("dir/y", "1")
	a.once()
	b.once()
	b.write("x", "22")
	must(t, os.RemoveAll(b.path("dir")))
	b.write("new/z", "3")
	b.once()
	a.once()
	wantEqual(t, "folder a", a.texts(), map[string]string{"x": "22", "new/": "", "new/z": "3"})
	wantEqual(t, "tree", tree.texts(), a.texts())
	// A file becomes a folder and the other way round.
	must(t, os.Remove(a.path("x")), os.RemoveAll(a.path("new")))
	a.write("x/in", "4")
	a.write("new", "file")
	a.once()
	b.once()
	wantEqual(t, "folder b", b.texts(), map[string]string{"x/": "", "x/in": "4", "new": "file"})
	if len(b.Status().Problems) > 0 {
		t.Errorf("%+v", b.Status().Problems)
	}
}

func TestJoinOfEqualFoldersTransfersNothing(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	for _, f := range []*box{a, b} {
		f.write("same", "text")
		f.write("large", strings.Repeat("large", 100_000))
		f.write("dir/same", "text")
	}
	a.write("different", "of a")
	b.write("different", "of b")
	b.write("more", "of b")
	a.once()
	stored := tree.stored
	b.once()
	if n := tree.stored - stored; n != len("of b") {
		t.Errorf("stored %d bytes", n)
	}
	if tree.opened != 2 { // both sides of the conflict
		t.Errorf("%d contents were opened", tree.opened)
	}
	a.once()
	wantEqual(t, "folders", a.texts(), b.texts())
	got := a.texts()
	if got["different"] != "of a" || got["different (conflict 1)"] != "of b" || got["more"] != "of b" {
		t.Errorf("%q", got)
	}
	if !a.mtime("same").Equal(b.mtime("same")) {
		t.Error("times differ")
	}
}
