package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

var copyTime = time.UnixMilli(1_700_000_000_000)

// fill makes a drive with files of all kinds.
func fill(t testing.TB, d *hyperdrive.Drive) map[string]string {
	t.Helper()
	large := string(prngBytes(5, 2<<20))
	b := d.Batch()
	defer b.Close()
	for _, err := range []error{
		b.Put(t.Context(), "a", []byte("small"), &hyperdrive.PutOptions{ModTime: copyTime, Metadata: map[string]any{"tag": 1}}),
		b.Put(t.Context(), "run", []byte("#!"), &hyperdrive.PutOptions{ModTime: copyTime, Executable: true}),
		b.Put(t.Context(), "empty", nil, &hyperdrive.PutOptions{ModTime: copyTime}),
		b.PutFrom(t.Context(), "sub/large", strings.NewReader(large), &hyperdrive.PutOptions{ModTime: copyTime}),
		b.Symlink("link", "sub/large", nil),
		b.Flush(t.Context()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"a": "small", "run": "#!", "empty": "", "sub/large": large, "link": "-> sub/large"}
}

func TestCopyMakesADriveLikeAnother(t *testing.T) {
	from, to := newDrive(t, nil), newDrive(t, nil)
	want := fill(t, from)
	for _, p := range []string{"old", "ignored", "sub/old"} {
		if err := to.Put(t.Context(), p, []byte("old"), nil); err != nil {
			t.Fatal(err)
		}
	}
	opts := Options{Ignore: func(p string) bool { return p == "/ignored" }, BatchEntries: 2}
	before := to.Version()
	dry := opts
	dry.DryRun = true
	r, err := Copy(t.Context(), from.View, to, &dry)
	if r := noProblems(t, r, err); r.Added != 5 || r.Removed != 2 || to.Version() != before {
		t.Errorf("dry: %+v, version %d after %d", r, to.Version(), before)
	}
	r, err = Copy(t.Context(), from.View, to, &opts)
	if r := noProblems(t, r, err); r.Added != 5 || r.Removed != 2 || r.Files != 5 {
		t.Errorf("copy: %+v", r)
	}
	with := maps.Clone(want)
	with["ignored"] = "old"
	if got := readDrive(t, to); !maps.Equal(got, with) {
		t.Errorf("the copy has %d files", len(got))
	}
	for name, executable := range map[string]bool{"run": true, "a": false} {
		e, err := to.Entry(t.Context(), name)
		if err != nil || e.Executable != executable || !e.ModTime().Equal(copyTime) {
			t.Errorf("%s: executable %v, modified %v, %v", name, e.Executable, e.ModTime(), err)
		}
	}
	if e, err := to.Entry(t.Context(), "a"); err != nil || !strings.Contains(string(e.Metadata), `"tag":1`) {
		t.Errorf("metadata %s, %v", e.Metadata, err)
	}

	// Once more there is nothing to do, also if contents are compared.
	version := to.Version()
	for _, content := range []bool{false, true} {
		opts.Content = content
		if r, err := Copy(t.Context(), from.View, to, &opts); noProblems(t, r, err).Added+r.Changed+r.Removed != 0 || to.Version() != version {
			t.Errorf("again (content %v): %+v, version %d after %d", content, r, to.Version(), version)
		}
	}

	// What differs beside the content takes no content along.
	blobs, err := to.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	length := blobs.Core().Length()
	e, err := from.Entry(t.Context(), "sub/large")
	if err != nil {
		t.Fatal(err)
	}
	e = e.WithModTime(copyTime.Add(time.Hour))
	if err := from.PutEntry(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := from.Symlink(t.Context(), "link", "a", nil); err != nil {
		t.Fatal(err)
	}
	r, err = Copy(t.Context(), from.View, to, &opts)
	if r := noProblems(t, r, err); r.Changed != 2 || blobs.Core().Length() != length {
		t.Errorf("touched: %+v, %d blocks more", r, blobs.Core().Length()-length)
	}
	if got, err := to.Entry(t.Context(), "sub/large"); err != nil || !got.ModTime().Equal(copyTime.Add(time.Hour)) {
		t.Errorf("modified %v, %v", got.ModTime(), err)
	}

	// A filter limits what is copied, prefixes limit everything.
	for _, p := range []string{"x/1", "x/2", "y"} {
		if err := from.Put(t.Context(), p, []byte(p), nil); err != nil {
			t.Fatal(err)
		}
	}
	r, err = Copy(t.Context(), from.View, to, &Options{Filter: func(p string) bool { return p == "/x/1" }, NoPrune: true})
	if r := noProblems(t, r, err); r.Added != 1 || r.Removed != 0 {
		t.Errorf("filter: %+v", r)
	}
	r, err = Copy(t.Context(), from.View, to, &Options{Prefixes: []string{"x"}})
	if r := noProblems(t, r, err); r.Added != 1 || r.Removed != 0 {
		t.Errorf("prefix: %+v", r)
	}
	if ok, err := to.Exists(t.Context(), "y"); ok || err != nil {
		t.Errorf("outside of the prefix: %v, %v", ok, err)
	}
}

func TestCopyComparesContentsOfEqualLength(t *testing.T) {
	from, to := newDrive(t, nil), newDrive(t, nil)
	for d, text := range map[*hyperdrive.Drive]string{from: "new", to: "old"} {
		if err := d.Put(t.Context(), "a", []byte(text), &hyperdrive.PutOptions{ModTime: copyTime}); err != nil {
			t.Fatal(err)
		}
	}
	// Same size and time: only with Content it shows.
	if r, err := Copy(t.Context(), from.View, to, nil); noProblems(t, r, err).Changed != 0 {
		t.Errorf("by size and time: %+v", r)
	}
	if r, err := Copy(t.Context(), from.View, to, &Options{Content: true}); noProblems(t, r, err).Changed != 1 || readDrive(t, to)["a"] != "new" {
		t.Errorf("by content: %+v", r)
	}
}

func TestCopyToADriveWithoutTimes(t *testing.T) {
	from, to := newDrive(t, nil), newDrive(t, &hyperdrive.Options{NoTimes: true})
	want := fill(t, from)
	for range 2 {
		r, err := Copy(t.Context(), from.View, to, nil)
		noProblems(t, r, err)
	}
	if got := readDrive(t, to); !maps.Equal(got, want) {
		t.Errorf("the copy has %d files", len(got))
	}
	e, err := to.Entry(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(e.Metadata, &m); err != nil || len(m) != 1 || m["tag"] != 1.0 {
		t.Errorf("metadata %s, %v", e.Metadata, err)
	}
	if v := to.Version(); v != uint64(len(want))+1 {
		t.Errorf("version %d: the second copy wrote something", v)
	}
}

func TestCopyStopsWithAnError(t *testing.T) {
	from, to := newDrive(t, nil), newDrive(t, nil)
	fill(t, from)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	_, err := Copy(ctx, from.View, to, &Options{OnOp: func(o Op) {
		if o.Path == "/link" {
			cancel(enough)
		}
	}})
	if !errors.Is(err, enough) {
		t.Errorf("cancelled: %v", err)
	}
	if to.Version() > 1 {
		t.Errorf("half a copy is version %d", to.Version())
	}
	if _, err := Copy(t.Context(), from.View, to, &Options{Prefixes: []string{".."}}); !errors.Is(err, hyperdrive.ErrPath) {
		t.Errorf("prefix: %v", err)
	}

	// Contents that are nowhere.
	s, err := corestore.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := from.Key()
	remote, err := hyperdrive.Open(t.Context(), s, &hyperdrive.Options{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	if _, err := Copy(t.Context(), from.View, remote, nil); !errors.Is(err, hyperdrive.ErrReadOnly) {
		t.Errorf("to a drive of somebody else: %v", err)
	}
	blobs, err := from.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.Core().Clear(t.Context(), 0, blobs.Core().Length()); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), from.LocalOnly(), to, nil); err == nil || to.Version() > 1 {
		t.Errorf("without contents: %v, version %d", err, to.Version())
	}
}
