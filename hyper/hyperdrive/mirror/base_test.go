package mirror

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestExportOfAFolderAsTheRoot(t *testing.T) {
	ctx, d, dst := t.Context(), newDrive(t, nil), t.TempDir()
	for p, data := range map[string]string{"/a/x": "1", "/a/sub/y": "2", "/b": "outside", "/ab": "no part of it", "/a/skip": "ignored"} {
		if err := d.Put(ctx, p, []byte(data), nil); err != nil {
			t.Fatal(err)
		}
	}
	for p, target := range map[string]string{"/a/in": "/a/sub/y", "/a/out": "/b"} {
		if err := d.Symlink(ctx, p, target, nil); err != nil {
			t.Fatal(err)
		}
	}
	leftover := ".hyperdrive-0123456789abcdef.tmp"
	writeTree(t, dst, map[string]string{"gone": "pruned", "sub/" + leftover: "half", "skip": "mine"})
	ignore, err := IgnorePaths("/skip")
	if err != nil {
		t.Fatal(err)
	}
	opts := &Options{Base: "a", Ignore: ignore, Exclusive: true}
	r, err := Export(ctx, d.View, dst, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0], ErrOutside) || r.Problems[0].Error() == "" {
		t.Errorf("problems %v", r.Problems)
	}
	want := map[string]string{"x": "1", "sub/y": "2", "in": "-> " + filepath.Join(dst, "sub", "y"), "skip": "mine"}
	if got := readTree(t, dst); !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// Of a single file, what was left beside it goes too.
	if err := os.WriteFile(filepath.Join(dst, "sub", leftover), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Export(ctx, d.View, dst, &Options{Base: "a", Prefixes: []string{"sub/y"}, NoPrune: true, Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	if got := readTree(t, dst); !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
