package mirror

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/storage"
)

// meddle returns a filter that does something when the import has come to a
// path: after it was listed and before it is read.
func meddle(path string, do func()) func(string) bool {
	return func(p string) bool {
		if p == path {
			do()
		}
		return true
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesThatGoAwayDuringAnImport(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "large": 3 << 20} {
		for _, known := range []bool{false, true} {
			dir := t.TempDir()
			writeTree(t, dir, map[string]string{"a": "1", "b": string(prngBytes(1, size)), "c": "3"})
			d := newDrive(t, nil)
			if known {
				// Of the same size, so that it is compared first.
				must(t, d.Put(t.Context(), "b", prngBytes(2, size), nil))
			}
			p := filepath.Join(dir, "b")
			r, err := Import(t.Context(), dir, d, &Options{Filter: meddle("/b", func() { must(t, os.Remove(p)) })})
			noProblems(t, r, err)
			if got := readDrive(t, d); len(got) != 2 || got["a"] != "1" || got["c"] != "3" {
				t.Errorf("%s, known %v: %d files in the drive", name, known, len(got))
			}
			if r.Files != 2 || known && r.Removed != 1 {
				t.Errorf("%s, known %v: %+v", name, known, r)
			}
		}
	}
}

func TestFilesThatBecomeSomethingElseDuringAnImport(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "large": 3 << 20} {
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"a": "1", "b": string(prngBytes(1, size))})
		d := newDrive(t, nil)
		must(t, d.Put(t.Context(), "b", []byte("old"), nil))
		p := filepath.Join(dir, "b")
		r, err := Import(t.Context(), dir, d, &Options{Filter: meddle("/b", func() {
			must(t, os.Remove(p), os.Mkdir(p, 0o755))
		})})
		if err != nil {
			t.Fatal(err)
		}
		if p := problemsOf(r); len(p) != 1 || !errors.Is(p["/b"], ErrSpecial) || !strings.Contains(p["/b"].Error(), "folder") {
			t.Errorf("%s: problems %v", name, r.Problems)
		}
		if got := readDrive(t, d); got["a"] != "1" || got["b"] != "old" {
			t.Errorf("%s: drive %.100q", name, got)
		}
	}
}

func TestFilesThatGrowDuringAnImport(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a": "1", "b": "small"})
	d := newDrive(t, nil)
	p := filepath.Join(dir, "b")
	// It was small when it was listed.
	r, err := Import(t.Context(), dir, d, &Options{Filter: meddle("/b", func() {
		must(t, os.WriteFile(p, prngBytes(1, 2<<20), 0o644))
	})})
	if err != nil {
		t.Fatal(err)
	}
	if p := problemsOf(r); len(p) != 1 || !errors.Is(p["/b"], ErrChanging) {
		t.Errorf("problems %v", r.Problems)
	}
	yesterday(t, p)
	if r, err := Import(t.Context(), dir, d, nil); noProblems(t, r, err).Added != 1 {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestImportStopsWithTheCauseOfItsContext(t *testing.T) {
	enough := errors.New("enough")
	for _, at := range []string{"/a", "/large", "/young", "/z"} {
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"a": "1", "large": string(prngBytes(1, 3<<20)), "z": "3"})
		must(t, os.WriteFile(filepath.Join(dir, "young"), []byte("x"), 0o644))
		d := newDrive(t, nil)
		must(t, d.Put(t.Context(), "large", prngBytes(2, 3<<20), nil))
		before := d.Version()
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := Import(ctx, dir, d, &Options{Filter: meddle(at, func() { cancel(enough) })})
		if !errors.Is(err, enough) {
			t.Errorf("at %s: %v", at, err)
		}
		if d.Version() != before {
			t.Errorf("at %s: half an import is version %d", at, d.Version())
		}
	}
}

func TestImportIsRefused(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"file": "1"})
	d := newDrive(t, nil)
	if _, err := Import(t.Context(), filepath.Join(dir, "file"), d, nil); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file as folder: %v", err)
	}
	if _, err := Import(t.Context(), dir, d, &Options{Prefixes: []string{"../x"}}); !errors.Is(err, hyperdrive.ErrPath) {
		t.Errorf("a prefix outside: %v", err)
	}
	if r, err := Import(t.Context(), dir, d, &Options{Prefixes: []string{"none", "file"}}); noProblems(t, r, err).Added != 1 {
		t.Errorf("prefixes: %+v", r)
	}
	s, err := corestore.Open(t.Context(), t.TempDir(), nil)
	must(t, err)
	defer s.Close()
	key := d.Key()
	remote, err := hyperdrive.Open(t.Context(), s, &hyperdrive.Options{Key: &key})
	must(t, err)
	defer remote.Close()
	if _, err := Import(t.Context(), dir, remote, nil); !errors.Is(err, hyperdrive.ErrReadOnly) {
		t.Errorf("to a drive of somebody else: %v", err)
	}
}

// TestImportToAFailingDisk lets the disk of the store fail: that is no problem of
// one file, and what was there before is there afterwards.
func TestImportToAFailingDisk(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "large": 3 << 20} {
		mem := vfs.NewMem()
		var failing atomic.Bool
		broken := errors.New("the disk fails")
		hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return broken
			}
			return nil
		})
		s, err := corestore.Open(t.Context(), "s", &corestore.Options{Storage: &storage.Options{FS: errorfs.Wrap(mem, hook)}})
		must(t, err)
		d, err := hyperdrive.Open(t.Context(), s, nil)
		must(t, err, d.Put(t.Context(), "file", []byte("old"), nil))
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"file": string(prngBytes(1, size))})
		failing.Store(true)
		if r, err := Import(t.Context(), dir, d, nil); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
		failing.Store(false)
		_ = errors.Join(d.Close(), s.Close()) // what it could not write is lost

		s, err = corestore.Open(t.Context(), "s", &corestore.Options{Storage: &storage.Options{FS: mem}})
		must(t, err)
		d, err = hyperdrive.Open(t.Context(), s, nil)
		must(t, err)
		if got := readDrive(t, d); len(got) != 1 || got["file"] != "old" {
			t.Errorf("%s: %d files, the file has %d bytes", name, len(got), len(got["file"]))
		}
		if r, err := Import(t.Context(), dir, d, nil); noProblems(t, r, err).Changed != 1 {
			t.Errorf("%s, again: %+v", name, r)
		}
		must(t, d.Close(), s.Close())
	}
}

func TestExportIsRefused(t *testing.T) {
	d := newDrive(t, nil)
	must(t, d.Put(t.Context(), "a", []byte("1"), nil))
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeTree(t, dir, map[string]string{"file": "mine"})
	if _, err := Export(t.Context(), d.View, file, nil); err == nil {
		t.Error("a file is taken for a folder")
	}
	if _, err := Export(t.Context(), d.View, filepath.Join(file, "below"), nil); err == nil {
		t.Error("a folder below a file")
	}
	if got := readTree(t, dir); got["file"] != "mine" {
		t.Errorf("left %q", got)
	}
	closed, err := d.Checkout(d.Version())
	must(t, err, closed.Close())
	if _, err := Export(t.Context(), closed, dir, nil); err == nil {
		t.Error("a closed view is exported")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Export(ctx, d.View, filepath.Join(dir, "out"), nil); !errors.Is(err, enough) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestExportStopsWithoutHalfFiles(t *testing.T) {
	d := newDrive(t, nil)
	want := map[string]string{"a": "1", "large": string(prngBytes(1, 3<<20)), "z": "3"}
	for name, text := range want {
		must(t, d.Put(t.Context(), name, []byte(text), nil))
	}
	for _, at := range []string{"/a", "/large", "/z"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		_, err := Export(ctx, d.View, dir, &Options{Workers: 1, OnOp: func(o Op) {
			if o.Path == at {
				cancel(enough)
			}
		}})
		if !errors.Is(err, enough) {
			t.Errorf("at %s: %v", at, err)
		}
		for name, text := range readTree(t, dir) {
			if want[name] != text {
				t.Errorf("at %s: %s has %d bytes", at, name, len(text))
			}
		}
		r, err := Export(t.Context(), d.View, dir, &Options{Exclusive: true})
		noProblems(t, r, err)
		if got := readTree(t, dir); !maps.Equal(got, want) {
			t.Errorf("at %s: again gives %d files", at, len(got))
		}
	}
}

func TestExportOfContentsThatAreNotHere(t *testing.T) {
	d := newDrive(t, nil)
	must(t, d.Put(t.Context(), "a", []byte("1"), nil), d.Put(t.Context(), "b", []byte("22"), nil))
	blobs, err := d.Blobs(t.Context())
	must(t, err, blobs.Core().Clear(t.Context(), 0, 1))
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a": "mine, still"})
	r, err := Export(t.Context(), d.LocalOnly(), dir, nil)
	must(t, err)
	if p := problemsOf(r); len(p) != 1 || !errors.Is(p["/a"], hypercore.ErrNotAvailable) {
		t.Errorf("problems %v", r.Problems)
	}
	if got := readTree(t, dir); len(got) != 2 || got["a"] != "mine, still" || got["b"] != "22" {
		t.Errorf("the folder has %q", got)
	}
}

func TestExportKeepsFoldersOfOthers(t *testing.T) {
	d := newDrive(t, nil)
	must(t, d.Put(t.Context(), "a", []byte("1"), nil), d.Put(t.Context(), "b/c", []byte("2"), nil))
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a/mine": "x", "b": "file"})
	// Without pruning a folder that is not empty stays, and a file is in the way.
	r, err := Export(t.Context(), d.View, dir, &Options{NoPrune: true})
	must(t, err)
	if p := problemsOf(r); len(p) != 2 || p["/a"] == nil || p["/b/c"] == nil {
		t.Errorf("problems %v", r.Problems)
	}
	if got := readTree(t, dir); got["a/mine"] != "x" || got["b"] != "file" || len(got) != 2 {
		t.Errorf("left %q", got)
	}
	r, err = Export(t.Context(), d.View, dir, nil)
	noProblems(t, r, err)
	if got := readTree(t, dir); got["a"] != "1" || got["b/c"] != "2" || len(got) != 2 {
		t.Errorf("pruned %q", got)
	}
}

func TestExportToAFullDisk(t *testing.T) {
	d := newDrive(t, nil)
	must(t, d.Put(t.Context(), "a", []byte("1"), nil), d.Put(t.Context(), "large", prngBytes(1, 4<<20), nil))
	dir := smallDisk(t, "1m")
	r, err := Export(t.Context(), d.View, dir, nil)
	must(t, err)
	if p := problemsOf(r); len(p) != 1 || !errors.Is(p["/large"], syscall.ENOSPC) {
		t.Errorf("problems %v", r.Problems)
	}
	if got := readTree(t, dir); len(got) != 1 || got["a"] != "1" {
		t.Errorf("%d files are left", len(got))
	}
}

func TestLargeFilesOfEqualSizeAreCompared(t *testing.T) {
	// Without times contents have to be compared; the size is above that of files
	// that are read at once and below that of mapped ones, or not.
	for name, text := range map[string][]byte{"same": prngBytes(1, 3<<20), "other": prngBytes(2, 3<<20)} {
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"f": string(text)})
		d := newDrive(t, &hyperdrive.Options{NoTimes: true})
		// As JavaScript stores it: a plain blob.
		blobs, err := d.Blobs(t.Context())
		must(t, err)
		blocks := slices.Collect(slices.Chunk(prngBytes(1, 3<<20), 65536))
		_, err = blobs.Core().Append(t.Context(), blocks...)
		must(t, err)
		id := hyperblobs.ID{BlockLength: uint64(len(blocks)), ByteLength: 3 << 20}
		must(t, d.PutEntry(t.Context(), &hyperdrive.Entry{Path: "/f", Blob: &id}))
		length := blobs.Core().Length()
		for _, dry := range []bool{true, false} {
			r, err := Import(t.Context(), dir, d, &Options{DryRun: dry})
			noProblems(t, r, err)
			if changed := r.Changed == 1; changed != (name == "other") {
				t.Errorf("%s, dry %v: %+v", name, dry, r)
			}
		}
		if got := readDrive(t, d)["f"]; got != string(text) {
			t.Errorf("%s: the drive has something else", name)
		}
		if grown := blobs.Core().Length() != length; grown != (name == "other") {
			t.Errorf("%s: %d blocks more", name, blobs.Core().Length()-length)
		}
	}
}

func TestVersionsAreAsLongAsAsked(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"link": "-> a"}
	for i := range 7 {
		files[string(rune('a'+i))] = "x"
	}
	writeTree(t, dir, files)
	d := newDrive(t, nil)
	must(t, d.Put(t.Context(), "gone", []byte("x"), nil))
	r, err := Import(t.Context(), dir, d, &Options{BatchEntries: 3})
	noProblems(t, r, err)
	sizes := map[uint64]int{}
	for c, err := range d.History(t.Context(), "") {
		must(t, err)
		sizes[c.Version]++
	}
	for v, n := range sizes {
		if n > 3 {
			t.Errorf("version %d has %d entries", v, n)
		}
	}
	if len(sizes) != 4 || r.Added != 8 || r.Removed != 1 {
		t.Errorf("%d versions, %+v", len(sizes), r)
	}
}

func TestFreshFilesAreWaitedForOnlyAsLongAsTheCallerWaits(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a": "1"})
	p := filepath.Join(dir, "young")
	must(t, os.WriteFile(p, []byte("x"), 0o644))
	// Times without a fraction take two seconds to settle.
	now := time.Now().Truncate(time.Second)
	must(t, os.Chtimes(p, now, now))
	d := newDrive(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	looked := 0
	_, err := Import(ctx, dir, d, &Options{OnProgress: func(Progress) {
		if looked++; looked == 1 {
			cancel(enough)
		}
	}})
	if !errors.Is(err, enough) {
		t.Errorf("import: %v", err)
	}
	if r, err := Import(t.Context(), dir, d, nil); noProblems(t, r, err).Added != 2 {
		t.Errorf("again: %+v", r)
	}
}
