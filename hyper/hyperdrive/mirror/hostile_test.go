package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// problemsOf returns the errors by path.
func problemsOf(r *Result) map[string]error {
	m := map[string]error{}
	for _, p := range r.Problems {
		m[p.Path] = p.Err
	}
	return m
}

// putRaw stores a file under a path that a Drive would refuse.
func putRaw(ctx context.Context, d *hyperdrive.Drive, path string, id hyperblobs.ID) error {
	value := fmt.Sprintf(`{"executable":false,"linkname":null,"blob":{"blockOffset":%d,"byteOffset":%d,"blockLength":%d,"byteLength":%d},"metadata":null}`,
		id.BlockOffset, id.ByteOffset, id.BlockLength, id.ByteLength)
	tree := hyperbee.New(d.Core(), &hyperbee.Options{Metadata: &hyperbee.Metadata{}})
	return errors.Join(tree.Put(ctx, []byte("files\x00"+path), []byte(value), nil), tree.Close())
}

func TestExportStaysInTheDestination(t *testing.T) {
	ctx := t.Context()
	outside, dst := t.TempDir(), t.TempDir()
	writeTree(t, outside, map[string]string{"victim": "safe"})
	d := newDrive(t, nil)
	// Raw keys, as a hostile writer stores them.
	hostile := []string{"/../escape", "/a/../../escape", "//abs", "/dot/./x", "/nul\x00x"}
	blobs, err := d.Blobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id, err := blobs.Put(ctx, []byte("evil"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range hostile {
		if err := putRaw(ctx, d, p, id); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range map[string]string{
		"/up": "../outside", "/deep/up": "../../x", "/sneaky": "deep/..", "/ok": "deep/file", "/abs": "/deep/file", "/deep/back": "../deep/file", "/absup": "/../x",
	} {
		if err := d.Symlink(ctx, path, target, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Put(ctx, "/deep/file", []byte("fine"), nil); err != nil {
		t.Fatal(err)
	}
	// The destination already has links where the drive has folders.
	if err := d.Put(ctx, "/linked/victim", []byte("evil"), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(ctx, "/victim", []byte("new"), nil); err != nil {
		t.Fatal(err)
	}
	writeTree(t, dst, map[string]string{"linked": "-> " + outside, "victim": "-> " + filepath.Join(outside, "victim")})
	r, err := Export(ctx, d.View, dst, &Options{NoPrune: true})
	if err != nil {
		t.Fatal(err)
	}
	problems := problemsOf(r)
	for _, p := range hostile {
		if !errors.Is(problems[p], ErrName) {
			t.Errorf("%q: %v", p, problems[p])
		}
	}
	for _, p := range []string{"/up", "/deep/up", "/sneaky", "/absup"} {
		if !errors.Is(problems[p], ErrOutside) {
			t.Errorf("link %s: %v", p, problems[p])
		}
	}
	if !errors.Is(problems["/linked/victim"], ErrCollision) {
		t.Errorf("through a link: %v", problems["/linked/victim"])
	}
	if len(r.Problems) != len(hostile)+5 {
		t.Errorf("problems %v", r.Problems)
	}
	if got := readTree(t, outside); len(got) != 1 || got["victim"] != "safe" {
		t.Errorf("outside is %q", got)
	}
	got := readTree(t, dst)
	if got["deep/file"] != "fine" || got["victim"] != "new" || got["ok"] != "-> deep/file" || got["abs"] != "-> "+dst+"/deep/file" {
		t.Errorf("destination is %q", got)
	}
	// With pruning the link makes way for the folder.
	if _, err := Export(ctx, d.View, dst, nil); err != nil {
		t.Fatal(err)
	}
	if got := readTree(t, dst); got["linked/victim"] != "evil" {
		t.Errorf("destination is %q", got)
	}
	if got := readTree(t, outside); got["victim"] != "safe" {
		t.Error("the outside was written through a link")
	}
}

func TestFilesAndFoldersOfOneNameCollide(t *testing.T) {
	d := newDrive(t, nil)
	for _, p := range []string{"a", "a/x", "b"} {
		if err := d.Put(t.Context(), p, []byte(p), nil); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Export(t.Context(), d.View, t.TempDir(), &Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if p := problemsOf(r); len(p) != 1 || !errors.Is(p["/a/x"], ErrCollision) {
		t.Errorf("problems %v", r.Problems)
	}
}

func TestImportReportsWhatItCannotStore(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"good": "1", "sub/kept": "2", `back\slash`: "3", "bad\xffname": "4"})
	d := newDrive(t, nil)
	if err := d.Put(t.Context(), "sub/kept", []byte("old"), nil); err != nil {
		t.Fatal(err)
	}
	if err := makePipe(filepath.Join(dir, "pipe")); err != nil {
		t.Fatal(err)
	}
	r, err := Import(t.Context(), dir, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	problems := problemsOf(r)
	if !errors.Is(problems["/pipe"], ErrSpecial) || !errors.Is(problems[`/back\slash`], ErrName) || !errors.Is(problems["/bad\xffname"], ErrName) || len(problems) != 3 {
		t.Errorf("problems %v", r.Problems)
	}
	if got := readDrive(t, d); len(got) != 2 || got["good"] != "1" || got["sub/kept"] != "2" {
		t.Errorf("drive %q", got)
	}
	if _, err := Import(t.Context(), filepath.Join(dir, "none"), d, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("import of nothing: %v", err)
	}
	if got := readDrive(t, d); len(got) != 2 {
		t.Error("a folder that is not there empties the drive")
	}
}

func TestUnreadableFoldersAreNotPruned(t *testing.T) {
	f := &folder{unreadable: []string{"/a/b"}}
	for path, known := range map[string]bool{"/a/b": false, "/a/b/c": false, "/a/bc": true, "/a": true} {
		if f.known(path) != known {
			t.Errorf("known(%s) = %v", path, !known)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	writeTree(t, src, map[string]string{"a": "1", "b": string(prngBytes(3, 2<<20))})
	writeTree(t, dst, map[string]string{"old": "x"})
	d := newDrive(t, nil)
	r, err := Import(t.Context(), src, d, &Options{DryRun: true})
	if r := noProblems(t, r, err); r.Added != 2 || d.Version() != 1 {
		t.Errorf("dry import: %+v, version %d", r, d.Version())
	}
	r, err = Import(t.Context(), src, d, nil)
	noProblems(t, r, err)
	r, err = Export(t.Context(), d.View, dst, &Options{DryRun: true})
	if r := noProblems(t, r, err); r.Added != 2 || r.Removed != 1 {
		t.Errorf("dry export: %+v", r)
	}
	if got := readTree(t, dst); len(got) != 1 {
		t.Errorf("dry export leaves %q", got)
	}
}

func TestTouchedFilesAreNotStoredAgain(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	writeTree(t, src, map[string]string{"small": "1", "large": string(prngBytes(3, 2<<20))})
	d := newDrive(t, nil)
	r, err := Import(t.Context(), src, d, nil)
	noProblems(t, r, err)
	r, err = Export(t.Context(), d.View, dst, nil)
	noProblems(t, r, err)
	blobs, err := d.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := blobs.Core().Length()
	for _, name := range []string{"small", "large"} {
		p := filepath.Join(src, name)
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
		yesterday(t, p)
	}
	r, err = Import(t.Context(), src, d, nil)
	if r := noProblems(t, r, err); r.Changed != 2 || r.BytesAdded != 0 || blobs.Core().Length() != before {
		t.Errorf("touched files: %+v, %d blocks more", r, blobs.Core().Length()-before)
	}
	r, err = Export(t.Context(), d.View, dst, nil)
	if r := noProblems(t, r, err); r.Changed != 2 || r.BytesAdded != 0 {
		t.Errorf("export of touched files: %+v", r)
	}
	info, err := os.Stat(filepath.Join(dst, "large"))
	if err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestLinksOfDrivesAreChecked(t *testing.T) {
	for _, c := range []struct {
		path, target string
		fine         bool
	}{
		{"/a", "b", true}, {"/a", "..", false}, {"/a/b", "..", true}, {"/a/b", "../..", false}, {"/a/b", "../c/d", true},
		{"/a/b", "c/../../..", false}, {"/a/b", "c/..", false}, {"/a", "/", true}, {"/a", "/x/..", false}, {"/a/b", "./../x", true}, {"/a", "x\x00", false},
	} {
		if err := checkLink(c.path, c.target); (err == nil) != c.fine {
			t.Errorf("link %s -> %q: %v", c.path, c.target, err)
		}
	}
}

func TestProgressAndOperationsAreReported(t *testing.T) {
	src := t.TempDir()
	writeTree(t, src, map[string]string{"a": "123", "b": string(prngBytes(3, 3<<20)), "c": ""})
	d := newDrive(t, nil)
	var last Progress
	var ops []string
	r, err := Import(t.Context(), src, d, &Options{
		OnProgress: func(p Progress) { last = p },
		OnOp:       func(o Op) { ops = append(ops, o.Kind.String()+o.Path) },
	})
	noProblems(t, r, err)
	if want := (Progress{Files: 3, Bytes: 3<<20 + 3, Copied: 3<<20 + 3}); last != want {
		t.Errorf("progress %+v, want %+v", last, want)
	}
	if want := []string{"add/a", "add/b", "add/c"}; !slices.Equal(ops, want) {
		t.Errorf("operations %q", ops)
	}
}
