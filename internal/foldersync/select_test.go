package foldersync

import (
	"maps"
	"os"
	"testing"
)

func TestSelection(t *testing.T) {
	tree := newMemTree()
	tree.put("photos/2024/a", "a")
	tree.put("photos/2025/b", "b")
	tree.put("music/c", "c")
	tree.put("music/long", "a long song")
	tree.put("top", "top")
	everything := maps.Clone(tree.texts())
	b := newBox(t, tree, &Options{Selection: Selection{Folders: []string{"photos/2025", "music"}, MaxSize: 5}})
	b.once()
	wantEqual(t, "folder", b.texts(), map[string]string{"photos/": "", "photos/2025/": "", "photos/2025/b": "b", "music/": "", "music/c": "c"})
	wantEqual(t, "tree", tree.texts(), everything)

	// What is not selected stays as it is, on both sides.
	b.write("elsewhere/x", "mine")
	b.write("music/x", "a long song of mine")
	b.once()
	wantEqual(t, "tree", tree.texts(), everything)
	if b.problem("elsewhere/x") == "" || b.problem("music/x") == "" {
		t.Errorf("%+v", b.Status().Problems)
	}
	must(t, os.RemoveAll(b.path("elsewhere")), os.Remove(b.path("music/x")))

	// An edit that makes a file too large is sent; one that comes from others goes.
	b.write("music/c", "a longer song")
	b.once()
	if got := tree.texts()["music/c"]; got != "a longer song" {
		t.Errorf("got %q", got)
	}
	tree.put("photos/2025/b", "a large picture")
	b.once()
	everything = maps.Clone(tree.texts())
	wantEqual(t, "folder", b.texts(), map[string]string{"photos/": "", "photos/2025/": "", "music/": "", "music/c": "a longer song"})

	// It stays until others change it. Less: local copies go, but not what was edited before it is sent.
	b.opts.Selection = Selection{Folders: []string{"photos"}}
	b.write("music/c", "edited at last")
	b.restart()
	b.once()
	wantEqual(t, "folder", b.texts(), map[string]string{"photos/": "", "photos/2024/": "", "photos/2024/a": "a", "photos/2025/": "", "photos/2025/b": "a large picture"})
	everything["music/c"] = "edited at last"
	wantEqual(t, "tree", tree.texts(), everything)

	// More.
	b.opts.Selection = Selection{}
	b.restart()
	b.once()
	wantEqual(t, "folder", b.texts(), everything)
	wantEqual(t, "tree", tree.texts(), everything)
}

func TestIgnoreFile(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, &Options{Ignore: []string{"*.opt"}}), newBox(t, tree, nil)
	a.write(IgnoreFile, "*.log\nbuild/\n!keep.log\n")
	a.write("a.log", "1")
	a.write("keep.log", "2")
	a.write("x.opt", "3")
	a.write("sub/build/out", "4")
	a.write("sub/.git/config", "5")
	a.write("sub/text~", "6")
	a.write(".text.swp", "7")
	a.write("text", "8")
	a.once()
	want := map[string]string{IgnoreFile: "*.log\nbuild/\n!keep.log\n", "keep.log": "2", "sub/": "", "text": "8"}
	wantEqual(t, "tree", tree.texts(), want)
	// What is ignored here is not written either, nor deleted.
	tree.put("b.log", "b")
	tree.put("y.opt", "y")
	a.once()
	if got := a.texts(); got["b.log"] != "" || got["y.opt"] != "" || got["a.log"] != "1" {
		t.Errorf("%q", got)
	}
	b.once()
	if got := b.texts(); got["b.log"] != "" || got["y.opt"] != "y" {
		t.Errorf("%q", got)
	}
	// Without the pattern both come.
	a.write(IgnoreFile, "build/\n")
	a.once()
	b.once()
	a.once()
	for _, f := range []*box{a, b} {
		if got := f.texts(); got["a.log"] != "1" || got["b.log"] != "b" {
			t.Errorf("%q", got)
		}
	}
	// What is ignored from now on stays where it is.
	b.write(IgnoreFile, "text\n")
	b.once()
	a.once()
	must(t, os.Remove(a.path("text")))
	a.once()
	b.once()
	if tree.texts()["text"] != "8" || b.texts()["text"] != "8" {
		t.Errorf("%q", b.texts())
	}
	// A mistake is a problem, and changes nothing.
	b.write(IgnoreFile, "[z-a]\n")
	b.once()
	if b.problem(IgnoreFile) == "" {
		t.Errorf("%+v", b.Status())
	}
}

// Rules with a mistake stop a folder that starts with them, until somebody mends them: here,
// or on another device.
func TestBrokenRulesAreMendedFromElsewhere(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("x", "1")
	b.once()
	tree.put(IgnoreFile, "[z-a]\n")
	b.once()
	b.restart()
	live(t, b)
	eventually(t, "the mistake is told", func() bool { return b.problem(IgnoreFile) != "" })
	b.write("later", "1")
	tree.put(IgnoreFile, "*.o\n")
	eventually(t, "all goes on", b.has("later", "1"))
	if p := b.problem(IgnoreFile); p != "" {
		t.Error(p)
	}
}

// What is ignored as a file may be a folder that is not.
func TestNewFoldersAreSeenWhereOnlyFilesAreIgnored(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write(IgnoreFile, "*\n!*/\n!*.md\n")
	live(t, b)
	eventually(t, "the start", func() bool { return !b.Status().LastScan.IsZero() })
	must(t, os.Mkdir(b.path("d"), 0o755))
	eventually(t, "the folder", b.has("d/", ""))
	b.write("d/a.md", "1")
	b.write("d/a.txt", "1")
	eventually(t, "the file", b.has("d/a.md", "1"))
	wantEqual(t, "tree", tree.texts(), map[string]string{"d/": "", "d/a.md": "1"})
}

// Not even the name of a file that an editor makes for a moment is one that nobody else has.
func TestNumbersAreNoEditorFiles(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("pages/4913", "1")
	b.once()
	wantEqual(t, "tree", tree.texts(), map[string]string{"pages/": "", "pages/4913": "1"})
}
