package foldersync

import (
	"maps"
	"os"
	"testing"
)

// A folder and a link take each other's place, also where the link leads to the same names.
func TestFoldersAndLinksTakeEachOthersPlace(t *testing.T) {
	both := map[string]string{"d/": "", "d/x": "dx", "d/in/": "", "d/in/y": "dy", "e/": "", "e/x": "ex", "e/in/": "", "e/in/y": "ey"}
	link := map[string]string{"d": "-> e", "e/": "", "e/x": "ex", "e/in/": "", "e/in/y": "ey"}
	moved := map[string]string{"d": "-> f", "f/": "", "f/x": "dx", "f/in/": "", "f/in/y": "dy", "e/": "", "e/x": "ex", "e/in/": "", "e/in/y": "ey"}
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	write := func(list map[string]string) {
		for name, text := range list {
			if text != "" {
				a.write(name, text)
			}
		}
	}
	write(both)
	live(t, a, b)
	for _, c := range []struct {
		what   string
		change func()
		want   map[string]string
	}{
		{"start", func() {}, both},
		{"a folder becomes a link", func() { must(t, os.RemoveAll(a.path("d")), os.Symlink("e", a.path("d"))) }, link},
		{"a link becomes a folder", func() {
			must(t, os.Remove(a.path("d")))
			write(map[string]string{"d/x": "dx", "d/in/y": "dy"})
		}, both},
		{"a folder moves and leaves a link", func() { must(t, os.Rename(a.path("d"), a.path("f")), os.Symlink("f", a.path("d"))) }, moved},
		{"it moves back", func() { must(t, os.Remove(a.path("d")), os.Rename(a.path("f"), a.path("d"))) }, both},
	} {
		c.change()
		var got map[string]string
		eventually(t, c.what, func() bool {
			got = tree.texts()
			return maps.Equal(got, c.want) && maps.Equal(b.texts(), c.want)
		})
		wantEqual(t, c.what, a.texts(), c.want)
	}
}

func TestWhatIsBehindALinkIsNotSent(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("e/x", "1")
	must(t, os.Symlink("e", b.path("d")))
	b.once()
	must(t, b.push(t.Context(), []string{"d/x"}))
	wantEqual(t, "tree", tree.texts(), map[string]string{"d": "-> e", "e/": "", "e/x": "1"})
}
