package autobase

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// narrowFS has room for little more, so that it is asked often, and none while it is full.
type narrowFS struct {
	vfs.FS
	asked, from, to atomic.Int64 // it is full from one question to the other
}

const narrowTable = 256 << 10

func (fs *narrowFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	u := vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 8*narrowTable + 9000}
	if n := fs.asked.Add(1); n > fs.from.Load() && n <= fs.to.Load() {
		u.AvailBytes = 1000
	}
	return u, nil
}

// The disk of a peer has no room for a while, from every n-th moment on, while it writes,
// becomes one of two indexers, and jumps. It says so, and goes on by itself when there is
// room; what was acknowledged is there, and what was refused is not.
func TestABaseGoesOnAfterAFullDisk(t *testing.T) {
	for n := range int64(10) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			fullAt(t, n)
		})
	}
}

func fullAt(t *testing.T, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pairs := [2]*hypercrypto.KeyPair{hypercrypto.KeyPairFromSeed([32]byte{1}), hypercrypto.KeyPairFromSeed([32]byte{2})}
	key := hypercrypto.DefaultManifest(pairs[0].Public).Key()
	open := func(i int, fs vfs.FS) (*Base, *testApp) {
		store, err := corestore.Open(ctx, "store", &corestore.Options{PrimaryKey: &[32]byte{byte(i + 1)},
			Storage: &storage.Options{FS: fs, CacheSize: 1 << 20, MemTableSize: narrowTable, PageCacheSize: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		app := &testApp{}
		b, err := Open(ctx, store, &key, app.handlers(), &Options{Local: pairs[i], AckInterval: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close(); store.Close() })
		return b, app
	}
	a, _ := open(0, vfs.NewMem())
	for i := range 10 {
		if _, err := a.Append(ctx, opLog("first %d", i), opPut(fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	narrow := &narrowFS{FS: vfs.NewMem()}
	b, app := open(1, narrow)
	narrow.from.Store(narrow.asked.Load() + n)
	narrow.to.Store(narrow.asked.Load() + n + 4)
	defer connect(t, a, b)()
	if _, err := a.Append(ctx, opAdd(b.LocalKey(), true)); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitWritable(ctx); err != nil {
		t.Fatalf("%d: %v, %+v", n, err, b.Status())
	}
	wrote := make(map[string]bool) // and whether that was refused
	for i := range 12 {
		v := fmt.Sprintf("entry %d", i)
		_, err := b.Append(ctx, opLog("%s", v), opPut(v, v))
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%d: %v", n, err)
		}
		wrote[v] = err == nil
		if i == 6 {
			if _, err := a.Append(ctx, opLog("between")); err != nil {
				t.Fatal(err)
			}
		}
	}
	narrow.to.Store(0)
	if _, err := b.Append(ctx, opLog("the end")); err != nil {
		t.Fatalf("%d: %v", n, err)
	}
	for a.Status().Hash != b.Status().Hash || b.Status().Filling {
		if ctx.Err() != nil {
			t.Fatalf("%d: they do not agree:\n%+v\n%+v", n, a.Status(), b.Status())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := b.Err(); err != nil {
		t.Fatalf("%d: %v", n, err)
	}
	b.mu.Lock()
	snap, err := app.log.Snapshot()
	b.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	times := make(map[string]int)
	for i := range snap.Length() {
		v, err := snap.Get(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		times[string(v)]++
	}
	for v, ok := range wrote {
		if times[v] != map[bool]int{true: 1}[ok] {
			t.Errorf("%d: %q is there %d times, acknowledged %v", n, v, times[v], ok)
		}
	}
	if narrow.asked.Load() < narrow.from.Load() {
		t.Error("the disk never got full")
	}
}
