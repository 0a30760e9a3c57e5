package hypercore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/hyper/storage/baddisk"
)

func TestMendTakesOnlyWhatTheTreeKnows(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	want := [][]byte{[]byte("zero"), bytes.Repeat([]byte("one"), 40_000), []byte("two")}
	if _, err := c.Append(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Mend(t.Context(), 1, []byte("something else")); ok || err != nil {
		t.Errorf("other content: %v, %v", ok, err)
	}
	if ok, err := c.Mend(t.Context(), 1, want[1]); !ok || err != nil {
		t.Errorf("the content: %v, %v", ok, err)
	}
	if _, err := c.Mend(t.Context(), 3, want[1]); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	// A block that was lost comes back.
	if err := c.Clear(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Mend(t.Context(), 0, want[0]); !ok || err != nil {
		t.Errorf("a lost block: %v, %v", ok, err)
	}
	for i, w := range want {
		if got, err := c.Get(t.Context(), uint64(i)); err != nil || !bytes.Equal(got, w) {
			t.Errorf("block %d has %d bytes, %v", i, len(got), err)
		}
	}
	if r, err := c.Audit(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("audit: %+v, %v", r, err)
	}
}

// TestABlockIsHeldAllTheWhileItIsMended cuts the power before every write of a
// mend: what is left has the block, the old bytes or the new ones.
func TestABlockIsHeldAllTheWhileItIsMended(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var cuts []vfs.FS
	on := false
	var mu sync.Mutex // guards cuts and on
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if on && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			for _, lost := range []int{0, 100} {
				cuts = append(cuts, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: lost, RNG: rand.New(rand.NewPCG(1, uint64(len(cuts))))}))
			}
		}
		return nil
	})
	db, err := storage.Open("w", &storage.Options{FS: errorfs.Wrap(baddisk.Reusing(mem), hook)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := openCore(t, db, &Options{KeyPair: seeded(1)})
	want := [][]byte{[]byte("small"), bytes.Repeat([]byte("large"), 40_000)}
	mustAppend(t, c, want...)
	mu.Lock()
	on = true
	mu.Unlock()
	for i, w := range want {
		if ok, err := c.Mend(t.Context(), uint64(i), w); !ok || err != nil {
			t.Fatalf("block %d: %v, %v", i, ok, err)
		}
	}
	mu.Lock()
	on = false
	mu.Unlock()
	if len(cuts) == 0 {
		t.Fatal("nothing was written")
	}
	for n, fs := range cuts {
		left, err := storage.Open("w", &storage.Options{FS: baddisk.Reusing(fs)})
		if err != nil {
			t.Fatal(err)
		}
		c := openCore(t, left, &Options{KeyPair: seeded(1)})
		for i, w := range want {
			if got, err := c.GetLocal(uint64(i)); err != nil || !bytes.Equal(got, w) {
				t.Errorf("cut %d of %d: block %d has %d bytes, %v", n, len(cuts), i, len(got), err)
			}
		}
		c.Close()
		left.Close()
	}
}
