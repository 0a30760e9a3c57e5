package hypercore

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/hyper/storage/baddisk"
)

// seenHead is a state of the log that left the machine.
type seenHead struct {
	fork, length uint64
	hash         hypercrypto.Hash
}

func seenOf(h *head) seenHead { return seenHead{h.Fork, h.Length, h.Hash()} }

// powerCut is a copy of the writer's disk and how many heads had been seen then.
type powerCut struct {
	fs     vfs.FS
	at     string
	seen   int
	public seenHead
}

// witness remembers what a peer saw, in order.
type witness struct {
	mu   sync.Mutex
	seen []seenHead
	cuts []powerCut
}

var crashSeeds = flag.Uint64("crash.seeds", 2, "how often to cut the power at every step, each time with other parts lost")

// TestNothingThatWasSeenIsForgotten cuts the power of a writer before every
// change to its disk while a peer follows it, and opens what is left: every head
// that the peer saw must still be part of the log, under the same fork, with the
// same content and all its blocks.
func TestNothingThatWasSeenIsForgotten(t *testing.T) {
	for _, mode := range []string{"durable", "relaxed", "mixed"} {
		for seed := range *crashSeeds {
			t.Run(fmt.Sprintf("%s/%d", mode, seed), func(t *testing.T) { seenRun(t, mode, seed) })
		}
	}
}

func seenRun(t *testing.T, mode string, seed uint64) {
	mem := vfs.NewCrashableMem()
	var w *Core
	var wit witness
	rng := rand.New(rand.NewPCG(seed, 1)) // guarded by wit.mu
	on := false
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		wit.mu.Lock()
		defer wit.mu.Unlock()
		if !on {
			return nil
		}
		h := w.log.public()
		c := powerCut{at: fmt.Sprintf("%v %s", op.Kind, op.Path), seen: len(wit.seen), public: seenOf(&h)}
		c.fs = mem.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 0, 50}[rng.IntN(3)], RNG: rand.New(rand.NewPCG(rng.Uint64(), 2)),
		})
		wit.cuts = append(wit.cuts, c)
		return nil
	})
	opts := storage.Options{FS: errorfs.Wrap(baddisk.Reusing(mem), hook), SegmentSize: 200 << 10, MemTableSize: 256 << 10}
	db, err := storage.Open("w", &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w = openCore(t, db, &Options{KeyPair: seeded(1), Relaxed: mode == "relaxed"})
	r := reader(t, w, nil)
	grew := make(chan struct{}, 1)
	r.Events(func(e Event) {
		if e.Type != EventAppend && e.Type != EventTruncate {
			return
		}
		h := r.log.state()
		wit.mu.Lock()
		wit.seen = append(wit.seen, seenOf(&h))
		wit.mu.Unlock()
		select {
		case grew <- struct{}{}:
		default:
		}
	})
	replicate(t, w, r)
	all := r.Download(Range{Live: true})
	defer all.Close()
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	wit.mu.Lock()
	on = true
	wit.mu.Unlock()
	pick := rand.New(rand.NewPCG(seed, 3))
	for i := range 40 {
		if i%3 == 2 {
			settled(t, r, w) // relaxed heads are seen some time later
		}
		if n := w.Length(); pick.IntN(10) == 0 && n > 0 {
			if err := w.Truncate(t.Context(), n-pick.Uint64N(min(n, 4)+1), nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var blocks [][]byte
		for k := range 1 + pick.IntN(3) {
			blocks = append(blocks, bytes.Repeat([]byte{byte(i), byte(k), byte(seed)}, []int{20, 1000, 10_000}[pick.IntN(3)]))
		}
		if mode == "mixed" && pick.IntN(3) > 0 {
			if _, err := w.AppendRelaxed(t.Context(), blocks...); err != nil {
				t.Fatal(err)
			}
		} else {
			mustAppend(t, w, blocks...)
		}
	}
	settled(t, r, w)
	wit.mu.Lock()
	on = false
	wit.mu.Unlock()
	if len(wit.seen) < 10 || len(wit.cuts) < 100 {
		t.Fatalf("only %d heads seen, %d power cuts", len(wit.seen), len(wit.cuts))
	}
	for i := range wit.cuts {
		c := &wit.cuts[i]
		if err := c.check(t, append([]seenHead{c.public}, wit.seen[:c.seen]...)); err != nil {
			t.Fatalf("power cut %d of %d, before %s: %v", i, len(wit.cuts), c.at, err)
		}
	}
	t.Logf("%d power cuts, %d heads seen", len(wit.cuts), len(wit.seen))
}

// check opens the writer's log as the power cut left it.
func (c *powerCut) check(t *testing.T, seen []seenHead) error {
	db, err := storage.Open("w", &storage.Options{FS: c.fs})
	if err != nil {
		return err
	}
	defer db.Close()
	w, err := Open(t.Context(), db, &Options{KeyPair: seeded(1)})
	if err != nil {
		return err
	}
	defer w.Close()
	report, err := w.Audit(t.Context(), nil)
	if err != nil || !report.OK() {
		return fmt.Errorf("audit: %+v, %v", report, err)
	}
	if !w.Has(0, w.Length()) {
		return fmt.Errorf("of %d blocks only the first %d are held", w.Length(), w.ContiguousLength())
	}
	// What is written now must not contradict what peers know.
	if _, err := w.Append(t.Context(), []byte("written after the power came back")); err != nil {
		return err
	}
	for _, s := range seen {
		switch {
		case w.Fork() > s.fork:
			continue // it was truncated, which peers follow
		case w.Fork() < s.fork || w.Length()-1 < s.length:
			return fmt.Errorf("fork %d of length %d was seen, %d of %d is left", s.fork, s.length, w.Fork(), w.Length()-1)
		}
		t, err := merkle.Load(w.log, s.fork, s.length)
		if err != nil {
			return err
		}
		if t.Hash() != s.hash {
			return fmt.Errorf("fork %d has two histories at length %d", s.fork, s.length)
		}
	}
	return nil
}

func TestReopenedLogPublishesOnlyWhatIsDurable(t *testing.T) {
	db := openDB(t)
	open := func() *Core { return openCore(t, db, &Options{KeyPair: seeded(1), Relaxed: true}) }
	w := open()
	mustAppend(t, w, testBlock(0))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open()
	if n := w.log.public().Length; n != 0 {
		t.Errorf("%d blocks are public that were never synced", n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	w = open()
	if n := w.log.public().Length; n != 1 {
		t.Errorf("%d blocks are public after a sync, want 1", n)
	}
	r := reader(t, w, nil)
	mustAppend(t, w, testBlock(1))
	replicate(t, w, r)
	settled(t, r, w)
}

// TestDiskThatLosesConfirmedBlocks: the log keeps its length, says what is gone
// and takes it back from a peer.
func TestDiskThatLosesConfirmedBlocks(t *testing.T) {
	mem := vfs.NewCrashableMem()
	db, err := storage.Open("w", &storage.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	w := openCore(t, db, &Options{KeyPair: seeded(1)})
	for i := range 4 {
		mustAppend(t, w, bytes.Repeat([]byte{byte(i)}, 5000))
	}
	r := reader(t, w, nil)
	l := replicate(t, w, r)
	if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	l.stop()
	hash := w.TreeHash()
	disk := mem.CrashClone(vfs.CrashCloneCfg{})
	db.Close()

	f, err := disk.OpenReadWrite("w/segments/00000001.seg", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 3000), 32+2*(5000+32)+100); err != nil { // in block 2
		t.Fatal(err)
	}
	f.Close()
	for range 2 { // the finding outlives the process that made it
		db, err = storage.Open("w", &storage.Options{FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		w, err = Open(t.Context(), db, &Options{KeyPair: seeded(1)})
		if err != nil {
			t.Fatal(err)
		}
		if w.Length() != 4 || w.Fork() != 0 || w.TreeHash() != hash || w.Has(2, 3) || !w.Has(3, 4) {
			t.Fatalf("length %d, fork %d, has block 2: %v, 3: %v", w.Length(), w.Fork(), w.Has(2, 3), w.Has(3, 4))
		}
		report, err := w.Audit(t.Context(), nil)
		if err != nil || report.OK() || len(report.Lost) != 1 || report.Lost[0] != 2 {
			t.Fatalf("audit: %+v, %v", report, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if db, err = storage.Open("w", &storage.Options{FS: disk}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w = openCore(t, db, &Options{KeyPair: seeded(1)})
	replicate(t, w, r)
	if b, err := w.Get(timeout(t), 2); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{2}, 5000)) {
		t.Fatalf("block 2 from the peer: %d bytes, %v", len(b), err)
	}
	if report, err := w.Audit(t.Context(), nil); err != nil || !report.OK() {
		t.Errorf("audit after that: %+v, %v", report, err)
	}
}
