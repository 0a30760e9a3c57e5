package foldersync

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// likeWindows makes a folder behave as on a system that folds case and restricts names.
func (b *box) likeWindows() {
	b.t.Helper()
	must(b.t, b.attach())
	b.traits.Store(&traits{fold: true, windows: true, taken: func(at *os.Root, name string) bool {
		h, err := at.Open(".")
		must(b.t, err)
		defer h.Close()
		names, err := h.Readdirnames(-1)
		must(b.t, err)
		for _, n := range names {
			if strings.EqualFold(n, name) {
				return true
			}
		}
		return false
	}})
}

func TestNamesThatASystemCannotHave(t *testing.T) {
	tree := newMemTree()
	names := []string{"plain", "README", "Readme", "readme.txt", "Con", "aux.txt", "a:b", "trailing.", "space ", "dir:/inner:", "dir:/CON", "what?.jpeg", "COM1", "COM10"}
	for _, n := range names {
		tree.put(n, "text of "+n)
	}
	want := tree.texts()
	b := newBox(t, tree, nil)
	b.likeWindows()
	b.once()
	var folded []string
	for p := range b.texts() {
		for part := range strings.SplitSeq(strings.TrimSuffix(p, "/"), "/") {
			if n := (&traits{windows: true}); !n.legal(part) {
				t.Errorf("%q is on disk", p)
			}
		}
		for _, f := range folded {
			if strings.EqualFold(f, p) {
				t.Errorf("%q and %q are on disk", f, p)
			}
		}
		folded = append(folded, p)
	}
	if len(folded) != len(want) {
		t.Errorf("%d things on disk, want %d: %q", len(folded), len(want), folded)
	}
	if b.texts()["COM10"] == "" || b.texts()["plain"] == "" {
		t.Error("names that are fine were changed")
	}
	// The tree keeps its names, also over restarts and edits.
	for range 2 {
		b.once()
		wantEqual(t, "tree", tree.texts(), want)
		b.restart()
		b.likeWindows()
	}
	for p, text := range b.texts() {
		if strings.HasPrefix(text, "text") {
			must(t, os.WriteFile(b.path(p), []byte("edited "+text), 0o644))
		}
	}
	b.once()
	for p, text := range want {
		if text != "" {
			want[p] = "edited " + text
		}
	}
	wantEqual(t, "tree after edits", tree.texts(), want)
	tree.put("a:b", "new")
	tree.delete("Readme")
	tree.delete("dir:/CON")
	b.once()
	want = tree.texts()
	if got := b.texts(); len(got) != len(want) {
		t.Errorf("%q", got)
	}
	// What is removed here goes from the tree.
	for p := range b.texts() {
		if strings.HasPrefix(p, "a_b~") || strings.HasPrefix(p, "dir_~") {
			must(t, os.RemoveAll(b.path(p)))
		}
	}
	b.once()
	delete(want, "a:b")
	delete(want, "dir:/")
	delete(want, "dir:/inner:")
	wantEqual(t, "tree after removal", tree.texts(), want)
}

func TestSubstituteIsLegalAndSteady(t *testing.T) {
	n := &traits{windows: true}
	for _, name := range []string{"a:b.txt", "CON", "con.tar.gz", "x.", "...", " ", "a\x01b", strings.Repeat("é:", 200) + ".txt", "???"} {
		s := substitute(name)
		if !n.legal(s) || len(s) > maxLocalName || s != substitute(name) {
			t.Errorf("%q becomes %q", name, s)
		}
	}
	if substitute("a:b") == substitute("a?b") {
		t.Error("two names become one")
	}
	if s := substitute("a:b.txt"); !strings.HasPrefix(s, "a_b~") || !strings.HasSuffix(s, ".txt") {
		t.Errorf("got %q", s)
	}
}

func TestNamesMapBothWays(t *testing.T) {
	n := newNames()
	n.set("a", "A~1")
	n.set("a/b", "B~2")
	n.set("a/c/d", "D~3")
	for path, local := range map[string]string{"": "", "x": "x", "a": "A~1", "a/b": "A~1/B~2", "a/b/x": "A~1/B~2/x", "a/c/d": "A~1/c/D~3", "b": "b"} {
		if got := n.local(path); got != local {
			t.Errorf("%q is %q on disk, want %q", path, got, local)
		}
		if got := n.path(local); got != path {
			t.Errorf("%q is %q in the tree, want %q", local, got, path)
		}
	}
	n.set("a", "")
	if got := n.local("a/b"); got != "a/B~2" {
		t.Errorf("got %q", got)
	}
}

// A disk whose files have the modes that the mount gives them changes no mode in the tree.
func TestDisksWithoutModes(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	must(t, b.attach())
	if *onDisk == "" {
		fixed := *b.traits.Load()
		fixed.fixed = true
		b.traits.Store(&fixed)
	} else if !b.traits.Load().fixed {
		t.Fatal("the disk has modes")
	}
	// mount gives everything on the disk another mode, as a mount with another umask would.
	mount := func(mode fs.FileMode) {
		if *onDisk != "" {
			return // it does what it wants
		}
		must(t, filepath.WalkDir(b.root, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chmod(name, mode)
		}))
	}
	both := func() {
		a.once()
		b.once()
		a.once()
	}
	want := map[string]fs.FileMode{"d": 0o710, "d/run": 0o755, "d/read": 0o440}
	check := func(what string) {
		t.Helper()
		for path, mode := range want {
			e, ok, err := tree.Lookup(t.Context(), path)
			if must(t, err); !ok || e.Mode != mode {
				t.Errorf("%s: %s has mode %v, want %v", what, path, e.Mode, mode)
			}
			if info, err := os.Stat(a.path(path)); *onDisk == "" && (err != nil || info.Mode().Perm() != mode) {
				t.Errorf("%s: %s has mode %v on the other disk, want %v (%v)", what, path, info.Mode(), mode, err)
			}
		}
		for _, x := range []*box{a, b} {
			if p := x.Status().Problems; len(p) > 0 {
				t.Errorf("%s: %+v", what, p)
			}
		}
	}
	for path, mode := range want {
		if path != "d" {
			tree.put(path, path)
			tree.chmod(path, mode)
		}
	}
	tree.chmod("d", 0o710)
	both()
	check("start")
	position := func() string {
		p, err := tree.Position(t.Context())
		must(t, err)
		return string(p)
	}
	before := position()
	for _, mode := range []fs.FileMode{0o777, 0o700} {
		mount(mode)
		both()
	}
	if position() != before {
		t.Error("the tree changed")
	}
	check("other modes on disk")
	b.write("d/run", "another text")
	must(t, os.MkdirAll(b.path("new"), 0o700))
	b.write("new/file", "1")
	mount(0o777)
	both()
	want["new"], want["new/file"] = newDirMode, newFileMode
	check("changes on the disk")
	tree.chmod("d/run", 0o700)
	tree.chmod("d", 0o750)
	want["d/run"], want["d"] = 0o700, 0o750
	both()
	check("other modes in the tree")
	wantEqual(t, "the disk", b.texts(), a.texts())
}
