package hyperdrive

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
)

func TestPurgeRemovesNamesAndContents(t *testing.T) {
	s := newStore(t, nil)
	d, err := Open(t.Context(), s, nil)
	must(t, err)
	other := openDrive(t, s.Namespace("other"), nil)
	put(t, other, "f", "stays")
	big := bytes.Repeat([]byte("no block like another"), 1<<20)
	for i := range big {
		big[i] ^= byte(i >> 13)
	}
	put(t, d, "big", string(big))
	blobs, err := d.Blobs(t.Context())
	must(t, err)
	names, content := d.DiscoveryKey(), blobs.Core().DiscoveryKey()
	full := usedBytes(t, s)
	if full < int64(len(big)) {
		t.Fatalf("only %d bytes stored", full)
	}

	// A handle of somebody else keeps it.
	held, err := s.Get(t.Context(), corestore.GetOptions{DiscoveryKey: &content})
	must(t, err)
	if err := d.Purge(t.Context()); !errors.Is(err, corestore.ErrInUse) {
		t.Fatalf("purge of a drive in use: %v", err)
	}
	must(t, held.Close())
	d, err = Open(t.Context(), s, nil)
	must(t, err)
	if got := get(t, d.View, "big"); got != string(big) {
		t.Fatal("content is damaged")
	}

	must(t, d.Purge(t.Context()))
	must(t, d.Close())
	if _, err := d.Get(t.Context(), "big"); !errors.Is(err, hyperbee.ErrClosed) {
		t.Errorf("read of a purged drive: %v", err)
	}
	for dk, err := range s.List() {
		must(t, err)
		if dk == names || dk == content {
			t.Error("a log of the drive is still stored")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for usedBytes(t, s) > full/5 {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d bytes are still taken", usedBytes(t, s), full)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got := get(t, other.View, "f"); got != "stays" {
		t.Errorf("another drive holds %q", got)
	}
	if _, err := Open(t.Context(), s, nil); !errors.Is(err, corestore.ErrDeleted) {
		t.Errorf("the drive is made again: %v", err)
	}
}

func TestPurgeOfAFetchedDrive(t *testing.T) {
	theirs, mine := newStore(t, nil), newStore(t, nil)
	d := openDrive(t, theirs, nil)
	put(t, d, "f", "hello")
	connect(t, theirs, mine)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	key := d.Key()
	for round := range 3 {
		r, err := Open(ctx, mine, &Options{Key: &key})
		must(t, err)
		if round != 1 { // once without having looked at the contents
			if data, err := r.Get(ctx, "f"); err != nil || string(data) != "hello" {
				t.Fatalf("%q, %v", data, err)
			}
		} else if ok, err := r.Exists(ctx, "f"); err != nil || !ok {
			t.Fatal(ok, err)
		}
		must(t, r.Purge(ctx))
		for dk, err := range mine.List() {
			t.Errorf("%s is left, %v", dk, err)
		}
	}
}

func usedBytes(t *testing.T, s *corestore.Store) int64 {
	t.Helper()
	st, err := s.DB().Stats()
	must(t, err)
	return st.Segments + st.Database
}
