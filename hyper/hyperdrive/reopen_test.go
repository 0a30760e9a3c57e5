package hyperdrive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// TestTimesGoUpWhateverTheClockDoes opens a drive again on a machine whose clock
// was set back.
func TestTimesGoUpWhateverTheClockDoes(t *testing.T) {
	s := newStore(t, nil)
	now := time.UnixMilli(1_700_000_000_000)
	clock := func() time.Time { return now }
	d := openDrive(t, s, &Options{Now: clock})
	put(t, d, "a", "1")
	if err := d.Del(t.Context(), "a"); err != nil {
		t.Fatal(err) // the last version ends without an entry
	}
	v := d.Version()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-365 * 24 * time.Hour)
	d = openDrive(t, s, &Options{Now: clock})
	put(t, d, "b", "2")
	put(t, d, "c", "3")
	var last time.Time
	for c, err := range d.History(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if !last.IsZero() && !c.Time.Before(last) {
			t.Errorf("%s: %v is not before %v", c.Path, c.Time, last)
		}
		last = c.Time
	}
	if got, err := d.VersionAt(t.Context(), time.UnixMilli(1_700_000_000_001)); err != nil || got != v {
		t.Errorf("version %d, %v; want %d", got, err, v)
	}
}

func TestFilesAreWrittenAsStreams(t *testing.T) {
	d := newTestDrive(t, nil)
	text := strings.Repeat("a line of a file that is not small\n", 60_000)
	w, err := d.Writer(t.Context(), "file", &PutOptions{Executable: true})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.WriteString(w, text[:1000]); err != nil || n != 1000 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if n, err := w.ReadFrom(strings.NewReader(text[1000:])); err != nil || n != int64(len(text)-1000) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if ok, err := d.Exists(t.Context(), "file"); ok || err != nil {
		t.Errorf("it is there before it is complete: %v, %v", ok, err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	w.Abort() // too late
	var out bytes.Buffer
	if n, err := d.WriteTo(t.Context(), "file", &out); err != nil || n != int64(len(text)) || out.String() != text {
		t.Errorf("%d bytes, %v", n, err)
	}
	if e, err := d.Entry(t.Context(), "file"); err != nil || !e.Executable {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := d.WriteTo(t.Context(), "none", &out); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}

	// What is given up changes nothing.
	version := d.Version()
	w, err = d.Writer(t.Context(), "file", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "other"); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if err := w.Close(); err != nil {
		t.Errorf("close after abort: %v", err)
	}
	if d.Version() != version || get(t, d.View, "file") != text {
		t.Error("a write that was given up shows")
	}
	if _, err := d.Writer(t.Context(), "..", nil); !errors.Is(err, ErrPath) {
		t.Errorf("a path outside: %v", err)
	}
}

func TestOnlyWhatChangedIsDownloaded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	theirs, mine := newStore(t, nil), newStore(t, nil)
	d := openDrive(t, theirs, nil)
	put(t, d, "dir/kept", "1")
	put(t, d, "dir/new", "22")
	key := d.Key()
	r := openDrive(t, mine, &Options{Key: &key})
	connect(t, theirs, mine)
	if _, err := r.Update(ctx); err != nil {
		t.Fatal(err)
	}
	old, err := r.Checkout(2)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := r.DownloadDiff(ctx, old, "dir"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"dir/new": true, "dir/kept": false, "dir": false, "none": false} {
		if has, err := r.Has(ctx, path); err != nil || has != want {
			t.Errorf("%s is here: %v, %v", path, has, err)
		}
	}
	if err := r.Download(ctx, "dir"); err != nil {
		t.Fatal(err)
	}
	if has, err := r.Has(ctx, "dir"); err != nil || !has {
		t.Errorf("after all: %v, %v", has, err)
	}
	// Names that are not here mean no, and nobody is asked.
	if err := r.Core().Clear(ctx, 0, r.Core().Length()); err != nil {
		t.Fatal(err)
	}
	again := openDrive(t, mine.Session(), &Options{Key: &key})
	if has, err := again.Has(ctx, "dir/new"); err != nil || has {
		t.Errorf("without names: %v, %v", has, err)
	}
	if _, err := again.LocalOnly().Entry(ctx, "dir/new"); !errors.Is(err, hypercore.ErrNotAvailable) {
		t.Errorf("without names: %v", err)
	}
}

func TestTruncateRefusesWhatIsNoVersion(t *testing.T) {
	d := newTestDrive(t, nil)
	b := d.Batch()
	defer b.Close()
	for _, p := range []string{"a", "b", "c"} {
		if err := b.Put(t.Context(), p, []byte(p), nil); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() != 3 {
		t.Errorf("%d changes", b.Len())
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, v := range []uint64{2, 3} {
		if err := d.Truncate(t.Context(), v); !errors.Is(err, hyperbee.ErrNotAVersion) {
			t.Errorf("version %d: %v", v, err)
		}
	}
	if got := paths(t, d.View, ""); len(got) != 3 {
		t.Errorf("files %q", got)
	}
	if err := d.Truncate(t.Context(), 1); err != nil || len(paths(t, d.View, "")) != 0 {
		t.Errorf("to the beginning: %v", err)
	}
}
