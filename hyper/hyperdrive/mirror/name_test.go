package mirror

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

func TestExportWritesOneFileUnderAnotherName(t *testing.T) {
	ctx, d, dst := t.Context(), newDrive(t, nil), t.TempDir()
	for p, data := range map[string]string{"/album/one": "first", "/album/one/below": "of a folder of that name", "/album/two": "2"} {
		if err := d.Put(ctx, p, []byte(data), &hyperdrive.PutOptions{Executable: p == "/album/one"}); err != nil {
			t.Fatal(err)
		}
	}
	for p, target := range map[string]string{"/album/link": "two", "/album/abs": "/album/two", "/album/out": "../x", "/album/outAbs": "/x"} {
		if err := d.Symlink(ctx, p, target, nil); err != nil {
			t.Fatal(err)
		}
	}
	writeTree(t, dst, map[string]string{"own": "mine", "uno/sub": "mine too"})
	for _, c := range []struct {
		base, name string
		err        error
	}{
		{"/album/one", "eins", nil},
		{"album/two", "zwei.txt", nil},
		{"/album/link", "link2", nil},
		{"/album/abs", "abs2", nil},
		{"/album/out", "out2", ErrOutside},
		{"/album/outAbs", "out3", ErrOutside},
		{"/album/one", "uno", ErrCollision},
		{"/album/one", ".hyperdrive-0123456789abcdef.tmp", ErrName},
	} {
		r, err := Export(ctx, d.View, dst, &Options{Base: c.base, Name: c.name, NoPrune: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := problemsOf(r)["/"+c.name]; !errors.Is(got, c.err) || r.Files != 1 {
			t.Errorf("%s as %s: %v, %d files", c.base, c.name, got, r.Files)
		}
	}
	want := map[string]string{
		"own": "mine", "uno/sub": "mine too", "eins": "first", "zwei.txt": "2", "link2": "-> two", "abs2": "-> " + filepath.Join(dst, "two"),
	}
	if got := readTree(t, dst); !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(filepath.Join(dst, "eins")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	// Again nothing is to do; a change replaces the file, and nothing else is
	// pruned.
	export := func() *Result {
		t.Helper()
		r, err := Export(ctx, d.View, dst, &Options{Base: "/album/one", Name: "eins"})
		return noProblems(t, r, err)
	}
	if r := export(); r.Added+r.Changed+r.Removed != 0 {
		t.Errorf("again: %+v", r)
	}
	if err := d.Put(ctx, "/album/one", []byte("changed"), nil); err != nil {
		t.Fatal(err)
	}
	if r := export(); r.Changed != 1 || r.Removed != 0 {
		t.Errorf("after a change: %+v", r)
	}
	want["eins"] = "changed"
	if got := readTree(t, dst); !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := d.Del(ctx, "/album/one"); err != nil {
		t.Fatal(err)
	}
	if r := export(); r.Removed != 1 {
		t.Errorf("after it is gone: %+v", r)
	}
	delete(want, "eins")
	if got := readTree(t, dst); !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestImpossibleNamesAreRefused(t *testing.T) {
	d := newDrive(t, nil)
	if err := d.Put(t.Context(), "/a/b", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	for _, name := range []string{"..", ".", "/", "x/y", "../x", "/x", "x/"} {
		if _, err := Export(t.Context(), d.View, dst, &Options{Base: "/a/b", Name: name}); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	if _, err := Export(t.Context(), d.View, dst, &Options{Name: "x"}); err == nil {
		t.Error("the whole drive is written as a file")
	}
	if _, err := os.Lstat(dst); !os.IsNotExist(err) {
		t.Errorf("the destination was made: %v", err)
	}
}
