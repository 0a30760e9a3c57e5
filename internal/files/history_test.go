package files

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestHistorySaysWhatEachVersionDid(t *testing.T) {
	dir := t.TempDir()
	files{"a": "one", "sub/b": "two"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	v1 := imported(t, s).Version
	files{"a": "longer", "c": "new"}.write(t, dir)
	v2 := imported(t, s).Version
	if err := os.Remove(filepath.Join(dir, "sub/b")); err != nil {
		t.Fatal(err)
	}
	v3 := imported(t, s).Version

	read := func(ref string, state State) *Reading {
		t.Helper()
		p, err := l.Find(ref, "/")
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Read(t.Context(), p, state, patient)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	history := func(r *Reading) (all []Version) {
		t.Helper()
		for v, err := range r.History() {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		return all
	}
	want := []Version{
		{Version: v3, Changes: []Change{{Op: "remove", Path: "/sub/b", SizeBefore: 3}}},
		{Version: v2, Changes: []Change{{Op: "change", Path: "/a", Size: 6, SizeBefore: 3}, {Op: "add", Path: "/c", Size: 3}}},
		{Version: v1, Changes: []Change{{Op: "add", Path: "/a", Size: 3}, {Op: "add", Path: "/sub/b", Size: 3}}},
	}
	got := history(read(dir, State{}))
	if len(got) != len(want) {
		t.Fatalf("%d versions, want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		g := got[i]
		if g.Version != w.Version || g.Time.IsZero() || g.Author == "" || !slices.Equal(g.Changes, w.Changes) {
			t.Errorf("version %+v, want %+v", g, w)
		}
	}
	// The path alone.
	sub := history(read(dir+"/sub", State{}))
	if len(sub) != 2 || sub[0].Version != v3 || sub[1].Version != v1 || len(sub[1].Changes) != 1 {
		t.Errorf("history of a folder: %+v", sub)
	}

	// The versions before and between.
	for name, c := range map[string]struct {
		ref   string
		state State
		from  State
		want  []Change
	}{
		"the last change":            {dir, State{}, State{}, want[0].Changes},
		"the last change of a path":  {dir + "/a", State{}, State{}, want[1].Changes[:1]},
		"the first version":          {dir, State{Version: v1}, State{}, want[2].Changes},
		"between two versions":       {dir, State{Version: v3}, State{Version: v1}, []Change{want[1].Changes[0], want[1].Changes[1], want[0].Changes[0]}},
		"backwards":                  {dir, State{Version: v1}, State{Version: v2}, []Change{{Op: "change", Path: "/a", Size: 3, SizeBefore: 6}, {Op: "remove", Path: "/c", SizeBefore: 3}}},
		"a version against itself":   {dir, State{Version: v2}, State{Version: v2}, nil},
		"a folder that did not move": {dir + "/sub", State{Version: v2}, State{Version: v1}, nil},
	} {
		var got []Change
		for c, err := range read(c.ref, c.state).Diff(c.from) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, c)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}

	// Numbers inside of a version are none.
	p, err := l.Find(dir, "/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(t.Context(), p, State{Version: v2 - 1}, patient); fault.KindOf(err) != fault.NotFound || len(fault.HintsOf(err)) == 0 {
		t.Errorf("read of version %d: %v", v2-1, err)
	}
	if _, err := l.Restore(t.Context(), p, State{Version: v2 - 1}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("restore of version %d: %v", v2-1, err)
	}
	for _, err := range read(dir, State{}).Diff(State{Version: v2 - 1}) {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("diff from version %d: %v", v2-1, err)
		}
	}
}
