package files

import (
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

// A record that cannot be read keeps nobody from the others, but is not
// forgotten: nothing is changed until it is repaired.
func TestDamagedListOfDrivesIsReportedAndLeftAlone(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	files{"a": "1"}.write(t, dir)
	l, closeFirst := openLibrary(t, home)
	s := share(t, l, dir)
	imported(t, s)
	name := s.Record.Name
	s.Close()
	if err := l.registry.tree.Put(t.Context(), []byte("broken"), []byte(`{"name":"broken","link":"nonsense"}`), nil); err != nil {
		t.Fatal(err)
	}
	closeFirst()

	l, _ = openLibrary(t, home)
	if list := l.Records(); len(list) != 1 || list[0].Name != name {
		t.Errorf("records %+v", list)
	}
	if _, err := l.Find(name, "/"); err != nil {
		t.Errorf("the other drive: %v", err)
	}
	_, err := l.Find("broken", "/")
	if fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the broken one: %v", err)
	}
	if _, err := l.Share(t.Context(), ShareOptions{Path: t.TempDir()}); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("a new drive: %v", err)
	}
	found := false
	for a, err := range l.Audit(t.Context(), false) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || a.Name == "list of drives" && len(a.Problems) == 1
	}
	if !found {
		t.Error("the audit does not see it")
	}
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	home := t.TempDir()
	l, closeFirst := openLibrary(t, home)
	r := Record{Name: "x", Link: linkTo([32]byte{1}, nil), Key: [32]byte{1}}
	for want, wanted := range map[string]bool{"x": false} {
		if got, err := l.registry.add(t.Context(), r, wanted); err != nil || got.Name != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
	r.Link, r.Key = linkTo([32]byte{2}, nil), [32]byte{2}
	if _, err := l.registry.add(t.Context(), r, true); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a name that was asked for and is taken: %v", err)
	}
	if got, err := l.registry.add(t.Context(), r, false); err != nil || got.Name != "x-2" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := l.registry.update(t.Context(), [32]byte{2}, func(r *Record) { r.Ignore = []string{"*.o"} }); err != nil {
		t.Fatal(err)
	}
	closeFirst()
	l, _ = openLibrary(t, home)
	if got, ok := l.registry.byKey([32]byte{2}); !ok || got.Name != "x-2" || len(got.Ignore) != 1 {
		t.Errorf("%+v, %v", got, ok)
	}
}

func TestAuditFindsADrivesLogs(t *testing.T) {
	dir := t.TempDir()
	files{"a": "1"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	imported(t, s)
	names := map[string]bool{}
	for a, err := range l.Audit(t.Context(), true) {
		if err != nil || len(a.Problems) > 0 {
			t.Errorf("%+v, %v", a, err)
		}
		names[a.Name] = true
	}
	for _, want := range []string{"list of drives", s.Record.Name + " (names)", s.Record.Name + " (contents)"} {
		if !names[want] {
			t.Errorf("no %q in %v", want, names)
		}
	}
}

func TestReferencesAreUnderstood(t *testing.T) {
	dir := t.TempDir()
	files{"docs/a": "1", "docs/sub/b": "2"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir+"/docs")
	imported(t, s)
	key, link := s.Record.Key, s.Record.Link
	for ref, path := range map[string]string{
		"docs": "", "docs/": "", "docs/sub/b": "/sub/b", dir + "/docs/sub": "/sub", link: "", link + "/sub/b": "/sub/b",
		link + "+3/a": "/a", key.String(): "", key.Hex() + "/sub": "/sub", "file://" + dir + "/docs/a": "/a",
	} {
		if p, err := l.Find(ref, dir); err != nil || p.Path != path || p.Record.Key != key {
			t.Errorf("%s: %+v, %v", ref, p, err)
		}
	}
	for ref, kind := range map[string]fault.Kind{
		"": fault.Usage, "hyper://abc": fault.Usage, link[:len(link)-1]: fault.Usage, "nope": fault.NotFound, dir: fault.NotFound, "http://example.com": fault.Usage,
	} {
		if _, err := l.Find(ref, dir); fault.KindOf(err) != kind {
			t.Errorf("%s: %v", ref, err)
		}
	}
}
