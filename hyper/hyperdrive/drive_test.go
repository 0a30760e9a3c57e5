package hyperdrive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

func put(t testing.TB, d *Drive, path, data string) {
	t.Helper()
	if err := d.Put(t.Context(), path, []byte(data), nil); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, v *View, path string) string {
	t.Helper()
	data, err := v.Get(t.Context(), path)
	if errors.Is(err, ErrNotFound) {
		return "(none)"
	}
	if err != nil {
		t.Fatalf("get %s: %v", path, err)
	}
	return string(data)
}

func paths(t testing.TB, v *View, folder string) (list []string) {
	t.Helper()
	for e, err := range v.List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Path)
	}
	return list
}

func names(t testing.TB, v *View, folder string) (list []string) {
	t.Helper()
	for d, err := range v.ReadDir(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		name := d.Name
		if d.IsDir() {
			name += "/"
		}
		list = append(list, name)
	}
	return list
}

func TestFilesAreStoredAndRemoved(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "a/b.txt", "hello")
	put(t, d, "/a/b.txt", "hello again")
	put(t, d, "empty", "")
	if got := get(t, d.View, "/a/b.txt"); got != "hello again" {
		t.Errorf("content %q", got)
	}
	if got := get(t, d.View, "empty"); got != "" {
		t.Errorf("empty file holds %q", got)
	}
	if err := d.Del(t.Context(), "a/b.txt"); err != nil {
		t.Fatal(err)
	}
	version := d.Version()
	if err := d.Del(t.Context(), "never/there"); err != nil {
		t.Fatal(err)
	}
	if d.Version() != version {
		t.Error("removing nothing makes a version")
	}
	if got := paths(t, d.View, ""); !slices.Equal(got, []string{"/empty"}) {
		t.Errorf("files %q", got)
	}
	if _, err := d.Entry(t.Context(), "a/b.txt"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed entry: %v", err)
	}
	if err := d.Put(t.Context(), "a\x00b", nil, nil); !errors.Is(err, ErrPath) {
		t.Errorf("NUL in a name: %v", err)
	}
}

func TestReadDirListsEachNameOnce(t *testing.T) {
	d := newTestDrive(t, nil)
	for _, p := range []string{"a", "a!x", "a/x", "a/y/z", "a0", "b/1", "b/2", "b0/1", "c"} {
		put(t, d, p, p)
	}
	if got, want := names(t, d.View, "/"), []string{"a", "a!x", "a0", "b/", "b0/", "c"}; !slices.Equal(got, want) {
		t.Errorf("root holds %q, want %q", got, want)
	}
	if got, want := names(t, d.View, "a"), []string{"x", "y/"}; !slices.Equal(got, want) {
		t.Errorf("a holds %q, want %q", got, want)
	}
	if got := names(t, d.View, "nowhere"); len(got) > 0 {
		t.Errorf("nowhere holds %q", got)
	}
}

func TestLinksLeadWhereTheyLeadOnDisk(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "/docs/a.md", "A")
	put(t, d, "/hello.txt", "hello")
	for path, target := range map[string]string{
		"/docs/rel": "../hello.txt", "/docs/far": "../../../../hello.txt", "/abs": "/docs/a.md", "/dir": "docs",
		"/loop": "loop2", "/loop2": "loop", "/broken": "nothing", "/grow": "grow/grow",
	} {
		if err := d.Symlink(t.Context(), path, target, nil); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/docs/rel": "hello", "/docs/far": "hello", "/abs": "A", "/dir/a.md": "A", "/dir/rel": "hello", "/broken": "(none)",
	} {
		if got := get(t, d.View, path); got != want {
			t.Errorf("%s leads to %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"/loop", "/grow", "/loop/x"} {
		if _, err := d.Get(t.Context(), path); !errors.Is(err, ErrLinks) {
			t.Errorf("%s: %v", path, err)
		}
	}
	e, err := d.Entry(t.Context(), "/abs")
	if err != nil || !e.IsLink() || e.Linkname != "/docs/a.md" {
		t.Errorf("link %+v, %v", e, err)
	}
}

func TestBatchIsOneVersion(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "old", "x")
	before := d.Version()
	b := d.Batch()
	for _, p := range []string{"1", "2", "2"} {
		if err := b.Put(t.Context(), p, []byte("content of "+p), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Del("old"); err != nil {
		t.Fatal(err)
	}
	if d.Version() != before || get(t, d.View, "1") != "(none)" {
		t.Error("batch shows before flush")
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, d.View, ""); !slices.Equal(got, []string{"/1", "/2"}) {
		t.Errorf("files %q", got)
	}
	versions := map[uint64]bool{}
	for c, err := range d.History(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if c.Version > before {
			versions[c.Version] = true
		}
	}
	if len(versions) != 1 || !versions[d.Version()] {
		t.Errorf("batch is in versions %v, now is %d", versions, d.Version())
	}
}

func TestCheckoutDiffRestore(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "a", "1")
	put(t, d, "dir/b", "1")
	old, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	put(t, d, "a", "2")
	put(t, d, "new", "1")
	if err := d.Del(t.Context(), "dir/b"); err != nil {
		t.Fatal(err)
	}
	if get(t, old, "a") != "1" || get(t, old, "dir/b") != "1" || get(t, old, "new") != "(none)" {
		t.Error("snapshot has changed")
	}
	var diff []string
	for c, err := range d.Diff(t.Context(), old, "/") {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.New == nil:
			diff = append(diff, "-"+c.Path)
		case c.Old == nil:
			diff = append(diff, "+"+c.Path)
		default:
			diff = append(diff, "~"+c.Path)
		}
	}
	if want := []string{"~/a", "-/dir/b", "+/new"}; !slices.Equal(diff, want) {
		t.Errorf("diff %q, want %q", diff, want)
	}
	if n, err := d.Restore(t.Context(), old, "dir"); err != nil || n != 1 {
		t.Errorf("restored %d, %v", n, err)
	}
	if get(t, d.View, "dir/b") != "1" || get(t, d.View, "a") != "2" {
		t.Error("restore of a folder went wrong")
	}
	if n, err := d.Restore(t.Context(), old, ""); err != nil || n != 2 {
		t.Errorf("restored %d, %v", n, err)
	}
	if got := paths(t, d.View, ""); !slices.Equal(got, []string{"/a", "/dir/b"}) {
		t.Errorf("restored drive has %q", got)
	}
	if n, err := d.Restore(t.Context(), old, ""); err != nil || n != 0 {
		t.Errorf("second restore changed %d, %v", n, err)
	}
}

func TestRenameCopyDelAll(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "src/a", "A")
	put(t, d, "src/sub/b", "B")
	put(t, d, "srcx", "X")
	if err := d.Copy(t.Context(), "src", "copy"); err != nil {
		t.Fatal(err)
	}
	if err := d.Rename(t.Context(), "src", "dst/deep"); err != nil {
		t.Fatal(err)
	}
	if got, want := paths(t, d.View, ""), []string{"/copy/a", "/copy/sub/b", "/dst/deep/a", "/dst/deep/sub/b", "/srcx"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if get(t, d.View, "dst/deep/sub/b") != "B" {
		t.Error("renamed file lost its content")
	}
	if n, err := d.DelAll(t.Context(), "dst"); err != nil || n != 2 {
		t.Errorf("removed %d, %v", n, err)
	}
	if err := d.Rename(t.Context(), "nothing", "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("rename of nothing: %v", err)
	}
	// A folder moves into itself.
	if err := d.Rename(t.Context(), "copy", "copy/in"); err != nil {
		t.Fatal(err)
	}
	if got, want := paths(t, d.View, "copy"), []string{"/copy/in/a", "/copy/in/sub/b"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestVersionsAreFoundByTime(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	d := newTestDrive(t, &Options{Now: func() time.Time { return now }})
	type point struct {
		at      time.Time
		version uint64
	}
	var points []point
	step := func(do func()) {
		now = now.Add(time.Hour)
		do()
		points = append(points, point{now, d.Version()})
	}
	step(func() { put(t, d, "a", "1") })
	step(func() {
		b := d.Batch()
		for _, p := range []string{"b", "c", "d"} {
			if err := b.Put(t.Context(), p, []byte(p), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Del("a"); err != nil {
			t.Fatal(err)
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	step(func() {
		if _, err := d.DelAll(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	})
	step(func() {
		if err := d.Put(t.Context(), "x", nil, &PutOptions{Metadata: []int{1}}); err != nil {
			t.Fatal(err)
		}
	})
	for _, p := range points {
		for _, after := range []time.Duration{0, time.Minute} {
			if v, err := d.VersionAt(t.Context(), p.at.Add(after)); err != nil || v != p.version {
				t.Errorf("version at %v + %v is %d, %v, want %d", p.at, after, v, err, p.version)
			}
		}
	}
	if v, err := d.VersionAt(t.Context(), points[0].at.Add(-time.Second)); err != nil || v != 1 {
		t.Errorf("version before the first is %d, %v", v, err)
	}
	old, err := d.At(t.Context(), points[1].at.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if got := paths(t, old, ""); !slices.Equal(got, []string{"/b", "/c", "/d"}) {
		t.Errorf("the drive then had %q", got)
	}
	removed := 0
	for c, err := range d.History(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(points, func(p point) bool { return p.version == c.Version })
		if i < 0 || !c.Time.Equal(points[i].at) {
			t.Errorf("%s changed in version %d at %v", c.Path, c.Version, c.Time)
		}
		if c.Entry == nil {
			removed++
		}
	}
	if removed != 4 {
		t.Errorf("history has %d removals, want 4", removed)
	}
}

func TestMetadataIsKept(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	d := newTestDrive(t, &Options{Now: func() time.Time { return now }})
	modTime := time.UnixMicro(1_600_000_000_123_456)
	err := d.Put(t.Context(), "f", []byte("x"), &PutOptions{Executable: true, ModTime: modTime, Metadata: json.RawMessage(`{"z":1,"10":2,"at":5,"a":"<"}`)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.Entry(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"10":2,"z":1,"a":"<","mtime":1600000000123.456,"at":1700000000000}`; string(e.Metadata) != want || !e.Executable {
		t.Errorf("metadata %s, want %s", e.Metadata, want)
	}
	if !e.ModTime().Equal(modTime) || !e.Meta().At.Equal(now) {
		t.Errorf("times %v and %v", e.ModTime(), e.Meta().At)
	}
}

func TestLargeFilesShareBlocks(t *testing.T) {
	d := newTestDrive(t, nil)
	data := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), 100_000)
	for i := range data {
		data[i] ^= byte(i >> 7 * 31)
	}
	if err := d.Put(t.Context(), "big", data, nil); err != nil {
		t.Fatal(err)
	}
	blobs, err := d.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := blobs.Core().ByteLength()
	data[2_000_000] ^= 1
	w, err := d.Writer(t.Context(), "big", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if grown := blobs.Core().ByteLength() - before; grown > 350_000 {
		t.Errorf("an edit of one byte appends %d", grown)
	}
	if got := get(t, d.View, "big"); got != string(data) {
		t.Error("content differs")
	}
	e, err := d.Entry(t.Context(), "big")
	if err != nil || !e.Blob.BlockMap || e.Meta().Size != uint64(len(data)) {
		t.Errorf("entry %+v, %v", e, err)
	}
}

func TestClearAndCollectKeepWhatIsUsed(t *testing.T) {
	ctx := t.Context()
	d := newTestDrive(t, nil)
	put(t, d, "a", "AAA")
	put(t, d, "b", "BBB")
	if err := d.Copy(ctx, "a", "same"); err != nil {
		t.Fatal(err)
	}
	put(t, d, "b", "new B")
	if n, err := d.Collect(ctx); err != nil || n != 1 {
		t.Errorf("collected %d, %v", n, err)
	}
	if n, err := d.Clear(ctx, "a"); err != nil || n != 0 {
		t.Errorf("cleared %d shared blocks, %v", n, err)
	}
	if n, err := d.Clear(ctx, "b"); err != nil || n != 1 {
		t.Errorf("cleared %d, %v", n, err)
	}
	for path, want := range map[string]bool{"a": true, "same": true, "b": false, "": false, "none": false} {
		if has, err := d.Has(ctx, path); err != nil || has != want {
			t.Errorf("has %q: %v, %v", path, has, err)
		}
	}
}

func TestTruncateGoesBack(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "a", "1")
	version := d.Version()
	put(t, d, "a", "2")
	put(t, d, "b", "2")
	if err := d.Truncate(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	blobs, err := d.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Version() != version || blobs.Core().Length() != 1 || get(t, d.View, "a") != "1" {
		t.Errorf("version %d, %d blobs, a = %q", d.Version(), blobs.Core().Length(), get(t, d.View, "a"))
	}
	put(t, d, "a", "3")
	if get(t, d.View, "a") != "3" {
		t.Error("drive cannot be written after truncation")
	}
}

func TestWatchSeesChangesOfBothLogs(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "dir/a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	updates := make(chan Update)
	next := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for u, err := range d.Watch(ctx, "dir") {
			if err != nil {
				done <- err
				return
			}
			updates <- u
			<-next
		}
	}()
	if u := <-updates; u.Previous != nil || u.Current.Version() != d.Version() {
		t.Errorf("watch begins with %+v", u)
	}
	put(t, d, "other", "1")
	next <- struct{}{}
	put(t, d, "dir/a", "2")
	u := <-updates
	if u.Reset || u.Current.Version() <= u.Previous.Version() {
		t.Errorf("update from %d to %d", u.Previous.Version(), u.Current.Version())
	}
	blobs, err := d.Blobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.Core().Truncate(ctx, 1, nil); err != nil {
		t.Fatal(err)
	}
	next <- struct{}{}
	if u = <-updates; u.BlobsKept > 1 {
		t.Errorf("update after truncation of the contents: %d kept", u.BlobsKept)
	}
	next <- struct{}{}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("watch ends with %v", err)
	}
}

func TestForeignFaultyEntriesAreReported(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "good", "x")
	if err := d.tree.Put(t.Context(), appendKey(nil, "/bad"), []byte("{"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Entry(t.Context(), "bad"); !errors.Is(err, ErrEntry) {
		t.Errorf("faulty entry: %v", err)
	}
	// Writing over it is possible.
	put(t, d, "bad", "fine")
	if err := d.PutEntry(t.Context(), &Entry{Path: "/huge", Blob: &hyperblobs.ID{BlockOffset: 9e15, BlockLength: 1, ByteLength: 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), "huge"); err == nil {
		t.Error("an impossible blob is read")
	}
}
