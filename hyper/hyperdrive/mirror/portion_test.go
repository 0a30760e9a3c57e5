package mirror

import (
	"fmt"
	"testing"
)

func TestSmallFilesOfAFolderAreOnePortion(t *testing.T) {
	files := func(dir string, n int, size uint64) (list []change) {
		for i := range n {
			list = append(list, change{src: &node{path: fmt.Sprintf("%s/%d", dir, i), size: size}})
		}
		return list
	}
	for _, c := range []struct {
		name    string
		changes []change
		want    int
	}{
		{"one", files("/a", 1, 1<<40), 1},
		{"a folder and a part of the next", append(files("/a", 20, 4096), files("/b", 5, 4096)...), 20},
		{"a folder below", append(files("/a", 2, 1), files("/a/b", 2, 1)...), 2},
		{"very many", files("/a", 1000, 0), 256},
		{"large ones", files("/a", 10, 3<<20), 1},
	} {
		if n := portion(c.changes); n != c.want {
			t.Errorf("%s: %d changes, not %d", c.name, n, c.want)
		}
	}
}
