package foldersync

import (
	"os"
	"strings"
	"testing"
)

// likeWindows makes a folder behave as on a system that folds case and restricts names.
func (b *box) likeWindows() {
	b.t.Helper()
	must(b.t, b.attach())
	b.naming.Store(&naming{fold: true, windows: true, taken: func(at *os.Root, name string) bool {
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
			if n := (&naming{windows: true}); !n.legal(part) {
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
	n := &naming{windows: true}
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
