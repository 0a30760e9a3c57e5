package folders

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// world is a place with a data folder and what is beside it.
type world struct {
	t     *testing.T
	place string
	store *corestore.Store
	*Library
}

func newWorld(t *testing.T) *world {
	place, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, place: place}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *world) home() string { return w.path("home") }

func (w *world) path(name string) string { return filepath.Join(w.place, name) }

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.store, err = corestore.Open(w.t.Context(), filepath.Join(w.home(), "store"), nil); err != nil {
		w.t.Fatal(err)
	}
	if w.Library, err = Open(w.t.Context(), w.store, Options{Home: w.home()}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	w.t.Helper()
	if err := w.Library.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) set(name string, change ...func(*Record)) Record {
	w.t.Helper()
	r := Record{Dir: w.path(name), Space: hypercrypto.Key{1}}
	for _, c := range change {
		c(&r)
	}
	r, err := w.Set(context.Background(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestFoldersAreRemembered(t *testing.T) {
	w := newWorld(t)
	a := w.set("a", func(r *Record) { r.Only, r.MinFree = []string{"/music/", "text"}, 5 })
	b := w.set("b", func(r *Record) { r.Space = hypercrypto.Key{2} })
	if a.ID == b.ID || !reflect.DeepEqual(a.Only, []string{"music", "text"}) {
		t.Errorf("%+v, %+v", a, b)
	}
	if info, err := os.Stat(a.Dir); err != nil || !info.IsDir() {
		t.Errorf("the folder is not made: %v", err)
	}
	w.close()
	w.open()
	if got := w.Records(); !reflect.DeepEqual(got, []Record{a, b}) {
		t.Errorf("got %+v", got)
	}
	changed := w.set("a", func(r *Record) { r.MaxSize = 7 })
	if changed.ID != a.ID || changed.MaxSize != 7 || changed.Only != nil {
		t.Errorf("changed to %+v", changed)
	}
	if err := os.MkdirAll(w.state(changed), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), a.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.state(changed)); !os.IsNotExist(err) {
		t.Errorf("the state is still there: %v", err)
	}
	if _, err := os.Stat(a.Dir); err != nil {
		t.Errorf("the folder is gone: %v", err)
	}
	if err := w.Remove(t.Context(), a.Dir); fault.KindOf(err) != fault.NotFound {
		t.Errorf("removed twice: %v", err)
	}
	w.close()
	w.open()
	if got := w.Records(); !reflect.DeepEqual(got, []Record{b}) {
		t.Errorf("got %+v", got)
	}
}

func TestFoldersThatCannotBeKeptEqualAreRefused(t *testing.T) {
	w := newWorld(t)
	w.set("a/in")
	if err := os.WriteFile(w.path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.path("a/in"), w.path("link")); err != nil {
		t.Fatal(err)
	}
	before := w.Records()
	for name, c := range map[string]struct {
		dir   string
		space hypercrypto.Key
		only  []string
		want  fault.Kind
	}{
		"a relative path":           {dir: "somewhere", want: fault.Usage},
		"a file":                    {dir: w.path("file"), want: fault.Usage},
		"the data folder":           {dir: w.home(), want: fault.Usage},
		"below the data folder":     {dir: w.path("home/x"), want: fault.Usage},
		"above the data folder":     {dir: w.place, want: fault.Usage},
		"below another":             {dir: w.path("a/in/x"), want: fault.Conflict},
		"below another, by a link":  {dir: w.path("link/x"), want: fault.Conflict},
		"above another":             {dir: w.path("a"), want: fault.Conflict},
		"another space":             {dir: w.path("a/in"), space: hypercrypto.Key{9}, want: fault.Conflict},
		"a selection that leads up": {dir: w.path("new"), only: []string{"../x"}, want: fault.Usage},
	} {
		_, err := w.Set(t.Context(), Record{Dir: c.dir, Space: c.space, Only: c.only})
		if fault.KindOf(err) != c.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, name := range []string{"home/x", "a/in/x", "new"} {
		if _, err := os.Lstat(w.path(name)); !os.IsNotExist(err) {
			t.Errorf("%s was made", name)
		}
	}
	if got := w.Records(); !reflect.DeepEqual(got, before) {
		t.Errorf("got %+v", got)
	}
}

func TestOfFoldersInEachOtherOneIsKept(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, name := range []string{"x", "x/in"} {
			wg.Go(func() { _, errs[i] = w.Set(context.Background(), Record{Dir: w.path(name), Space: hypercrypto.Key{1}}) })
		}
		wg.Wait()
		list := w.Records()
		if len(list) != 1 || (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("%+v, %v", list, errs)
		}
		if err := w.Remove(t.Context(), list[0].Dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindTellsWhereAPathLies(t *testing.T) {
	w := newWorld(t)
	r := w.set("a")
	if err := os.Mkdir(filepath.Join(r.Dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"a/link": w.place, "to": filepath.Join(r.Dir, "d")} {
		if err := os.Symlink(to, w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"a": "", "a/d/x": "d/x", "a/link": "link", "to/x": "d/x", "to": "d"} {
		if got, inside, ok := w.Find(w.path(path)); !ok || got.ID != r.ID || inside != want {
			t.Errorf("%s is %q of %s (%v)", path, inside, got.Dir, ok)
		}
	}
	for _, path := range []string{"ab", "b/a", "a/../c", "a/link/b"} {
		if got, inside, ok := w.Find(w.path(path)); ok {
			t.Errorf("%s is %q of %s", path, inside, got.Dir)
		}
	}
}
