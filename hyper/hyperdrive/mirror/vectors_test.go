package mirror

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

func prngBytes(seed uint32, n int) []byte {
	b := make([]byte, (n+3)/4*4)
	for i := 0; i < len(b); i += 4 {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		b[i], b[i+1], b[i+2], b[i+3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	}
	return b[:n]
}

type vectorOp struct {
	Op, Key                  string
	BytesRemoved, BytesAdded uint64
}

func TestImportMatchesMirrorDrive(t *testing.T) {
	raw, err := os.ReadFile("testdata/struct-mirror.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Cases []struct {
			Name                     string
			Ops                      []vectorOp
			Count                    struct{ Files, Add, Remove, Change uint64 }
			BytesAdded, BytesRemoved uint64
			DstVersion               uint64
		}
		FinalList []struct {
			Key   string
			Value struct {
				Executable bool
				Linkname   *string
				Blob       any
			}
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{
		"a.txt": "aaa", "dir/b.sh": "#!/bin/sh\n", "dir/sub/c.bin": string(prngBytes(1, 150000)),
		"skip/me.txt": "no", "abs-link": "-> " + filepath.Join(dir, "a.txt"), "rel-link": "-> dir/b.sh",
	})
	change := func(fn func() error) {
		t.Helper()
		if err := fn(); err != nil {
			t.Fatal(err)
		}
	}
	change(func() error { return os.Chmod(filepath.Join(dir, "dir/b.sh"), 0o755) })
	change(func() error { return os.Mkdir(filepath.Join(dir, "emptydir"), 0o755) })
	skip, err := IgnorePaths("/skip")
	if err != nil {
		t.Fatal(err)
	}
	for _, times := range []bool{false, true} {
		d := newDrive(t, &hyperdrive.Options{NoTimes: !times})
		for i, o := range []Options{
			{DryRun: true, Ignore: skip},
			{Ignore: skip},
			{Ignore: skip},
			{Ignore: skip, IncludeEquals: true},
		} {
			checkCase(t, d, dir, o, v.Cases[i].Name, v.Cases[i].Ops, v.Cases[i].DstVersion)
		}
		if times {
			continue
		}
		writeTree(t, dir, map[string]string{"a.txt": "bbb"})
		change(func() error { return os.Chmod(filepath.Join(dir, "dir/b.sh"), 0o644) })
		change(func() error { return os.Remove(filepath.Join(dir, "rel-link")) })
		checkCase(t, d, dir, Options{Ignore: skip}, v.Cases[4].Name, v.Cases[4].Ops, v.Cases[4].DstVersion)
		writeTree(t, dir, map[string]string{"new.txt": "n"})
		change(func() error { return os.Remove(filepath.Join(dir, "a.txt")) })
		checkCase(t, d, dir, Options{Ignore: skip, NoPrune: true}, v.Cases[5].Name, v.Cases[5].Ops, v.Cases[5].DstVersion)
		noBin := func(p string) bool { return !strings.HasSuffix(p, ".bin") }
		checkCase(t, d, dir, Options{Prefixes: []string{"/dir"}, Filter: noBin}, v.Cases[6].Name, v.Cases[6].Ops, v.Cases[6].DstVersion)

		for _, want := range v.FinalList {
			e, err := d.Entry(t.Context(), want.Key)
			if err != nil {
				t.Fatal(err)
			}
			if e.Executable != want.Value.Executable || want.Value.Linkname != nil && e.Linkname != *want.Value.Linkname {
				t.Errorf("%s: %+v", want.Key, e)
			}
			// The contents are in the order of paths here and there.
			blob, err := json.Marshal(want.Value.Blob)
			if err != nil {
				t.Fatal(err)
			}
			var id *struct{ BlockOffset, ByteOffset, BlockLength, ByteLength uint64 }
			if err := json.Unmarshal(blob, &id); err != nil {
				t.Fatal(err)
			}
			if (id == nil) != (e.Blob == nil) || id != nil && (id.BlockLength != e.Blob.BlockLength || id.ByteLength != e.Blob.ByteLength) {
				t.Errorf("%s: blob %+v, want %s", want.Key, e.Blob, blob)
			}
		}
		// Back to the first state for the drive with times.
		change(func() error { return os.Remove(filepath.Join(dir, "new.txt")) })
		writeTree(t, dir, map[string]string{"a.txt": "aaa", "rel-link": "-> dir/b.sh"})
		change(func() error { return os.Chmod(filepath.Join(dir, "dir/b.sh"), 0o755) })
	}
}

func checkCase(t *testing.T, d *hyperdrive.Drive, dir string, o Options, name string, want []vectorOp, version uint64) {
	t.Helper()
	var ops []vectorOp
	o.OnOp = func(op Op) {
		ops = append(ops, vectorOp{op.Kind.String(), op.Path, op.BytesRemoved, op.BytesAdded})
	}
	r, err := Import(t.Context(), dir, d, &o)
	noProblems(t, r, err)
	slices.SortFunc(ops, func(a, b vectorOp) int { return strings.Compare(a.Key, b.Key) })
	if len(ops) != len(want) || len(want) > 0 && !reflect.DeepEqual(ops, want) {
		t.Errorf("%s: operations %+v, want %+v", name, ops, want)
	}
	if d.Version() != version {
		t.Errorf("%s: version %d, want %d", name, d.Version(), version)
	}
}

func TestRoundTrip(t *testing.T) {
	files := map[string]string{
		"a": "1", "dir/b": "2", "dir/c/d": "", "dir.txt": "3", "dir0": "4", "ü/ñ": "5",
		"big":     string(prngBytes(9, 3<<20)),
		"link":    "-> dir/b",
		"dir/up":  "-> ../a",
		"bigger0": string(prngBytes(10, 70_000)),
	}
	src, dst := t.TempDir(), t.TempDir()
	writeTree(t, src, files)
	d := newDrive(t, nil)
	r, err := Import(t.Context(), src, d, nil)
	if r := noProblems(t, r, err); r.Files != uint64(len(files)) || r.Added != r.Files {
		t.Errorf("import: %+v", r)
	}
	if got := readDrive(t, d); !maps.Equal(got, files) {
		t.Error("drive differs from the folder")
	}
	writeTree(t, dst, map[string]string{"old/deep/x": "x", "a": "other", "dir0/file": "in the way"})
	r, err = Export(t.Context(), d.View, dst, nil)
	if r := noProblems(t, r, err); r.Removed != 2 || r.Changed != 1 {
		t.Errorf("export: %+v", r)
	}
	if got := readTree(t, dst); !maps.Equal(got, files) {
		t.Errorf("exported folder differs: %q", slices.Sorted(maps.Keys(got)))
	}
	if _, err := os.Lstat(filepath.Join(dst, "old")); err == nil {
		t.Error("empty folder stays")
	}
	// Times come along, so nothing is to do in either direction.
	version := d.Version()
	for _, dir := range []string{src, dst} {
		r, err := Import(t.Context(), dir, d, nil)
		if r := noProblems(t, r, err); r.Added+r.Changed+r.Removed > 0 || d.Version() != version {
			t.Errorf("import again: %+v", r)
		}
		r, err = Export(t.Context(), d.View, dir, nil)
		if r := noProblems(t, r, err); r.Added+r.Changed+r.Removed > 0 {
			t.Errorf("export again: %+v", r)
		}
	}
	copied := newDrive(t, nil)
	r, err = Copy(t.Context(), d.View, copied, nil)
	if r := noProblems(t, r, err); r.Added != uint64(len(files)) {
		t.Errorf("copy: %+v", r)
	}
	if got := readDrive(t, copied); !maps.Equal(got, files) {
		t.Error("copied drive differs")
	}
	r, err = Copy(t.Context(), d.View, copied, &Options{Content: true})
	if r := noProblems(t, r, err); r.Added+r.Changed+r.Removed > 0 {
		t.Errorf("copy again: %+v", r)
	}
}
