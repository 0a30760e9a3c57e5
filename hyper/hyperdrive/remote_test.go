package hyperdrive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// connect replicates two stores until the test ends.
func connect(t *testing.T, a, b *corestore.Store) {
	t.Helper()
	left, right := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	run := func(s *corestore.Store, conn net.Conn, handshake func(context.Context, io.ReadWriteCloser, *secretstream.Options) (*secretstream.Conn, error)) {
		wg.Go(func() {
			c, err := handshake(ctx, conn, nil)
			if err == nil {
				err = s.Replicate(ctx, c)
			}
			if ctx.Err() == nil {
				t.Errorf("replication ends: %v", err)
			}
		})
	}
	run(a, left, secretstream.Client)
	run(b, right, secretstream.Server)
}

func TestRemoteDriveIsReadSparsely(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	theirs := newStore(t, nil)
	d := openDrive(t, theirs, nil)
	big := bytes.Repeat([]byte("0123456789abcdef"), 400_000)
	for i := range big {
		big[i] ^= byte(i >> 12)
	}
	put(t, d, "a/small", "hello")
	put(t, d, "a/big", string(big))
	put(t, d, "z", "last")

	mine := newStore(t, nil)
	key := d.Key()
	r, err := Open(ctx, mine, &Options{Key: &key})
	must(t, err)
	defer r.Close()
	if r.Writable() {
		t.Error("a drive of somebody else can be written")
	}
	connect(t, mine, theirs)

	// Known by its key only: the first read waits for the peer.
	if data, err := r.Get(ctx, "a/small"); err != nil || string(data) != "hello" {
		t.Fatalf("a/small: %q, %v", data, err)
	}
	file, err := r.Open(ctx, "a/big")
	must(t, err)
	part := make([]byte, 100_000)
	_, err = file.ReadAt(part, 3_000_000)
	must(t, err)
	if !bytes.Equal(part, big[3_000_000:3_100_000]) {
		t.Error("range differs")
	}
	blobs, err := r.Blobs(ctx)
	must(t, err)
	held := uint64(0)
	for i := range blobs.Core().Length() {
		if blobs.Core().Has(i, i+1) {
			held++
		}
	}
	if held > 6 {
		t.Errorf("a small file and a range fetched %d blocks", held)
	}
	if has, err := r.Has(ctx, "a"); err != nil || has {
		t.Errorf("has a: %v, %v", has, err)
	}
	if _, err := r.LocalOnly().Get(ctx, "z"); !errors.Is(err, hypercore.ErrNotAvailable) {
		t.Errorf("read without waiting: %v", err)
	}
	must(t, r.Download(ctx, "/a"))
	if has, err := r.Has(ctx, "a"); err != nil || !has {
		t.Errorf("has a after download: %v, %v", has, err)
	}
	if data, err := r.Get(ctx, "a/big"); err != nil || !bytes.Equal(data, big) {
		t.Errorf("a/big: %d bytes, %v", len(data), err)
	}
	if err := r.Put(ctx, "x", nil, nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("write to a drive of somebody else: %v", err)
	}

	// Changes come by themselves; times come with them.
	version := d.Version()
	for u, err := range r.Watch(ctx, "a") {
		must(t, err)
		if u.Previous != nil {
			break
		}
		put(t, d, "a/small", "changed")
	}
	if data, err := r.Get(ctx, "a/small"); err != nil || string(data) != "changed" {
		t.Errorf("a/small: %q, %v", data, err)
	}
	e, err := d.Entry(ctx, "z")
	must(t, err)
	old, err := r.At(ctx, e.Meta().At)
	must(t, err)
	defer old.Close()
	if old.Version() != version {
		t.Errorf("version of that time is %d, want %d", old.Version(), version)
	}
	if data, err := old.Get(ctx, "a/small"); err != nil || string(data) != "hello" {
		t.Errorf("then a/small was %q, %v", data, err)
	}
	var list []string
	for e, err := range r.List(ctx, "") {
		must(t, err)
		list = append(list, e.Path)
	}
	if want := []string{"/a/big", "/a/small", "/z"}; !slices.Equal(list, want) {
		t.Errorf("files %q, want %q", list, want)
	}
}

func TestTimesSeenHereStandInForUnknownOnes(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	store := newStore(t, nil)
	opts := &Options{NoTimes: true, Now: func() time.Time { return now }}
	d, err := Open(t.Context(), store, opts)
	must(t, err)
	put(t, d, "a", "1")
	version := d.Version()
	now = now.Add(time.Hour)
	put(t, d, "a", "2")
	must(t, d.Close())
	again := openDrive(t, store, opts)
	for after, want := range map[time.Duration]uint64{-time.Second: version, 0: version + 1, -2 * time.Hour: 1} {
		if got, err := again.VersionAt(t.Context(), now.Add(after)); err != nil || got != want {
			t.Errorf("version at %v is %d, %v, want %d", after, got, err, want)
		}
	}
}
