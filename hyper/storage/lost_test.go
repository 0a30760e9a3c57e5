package storage

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// writeAt changes bytes of a file behind the store's back.
func writeAt(t *testing.T, fs vfs.FS, name string, data []byte, off int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, diskCategory)
	if err == nil {
		_, err = f.WriteAt(data, off)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// lostStore is a disk after a power failure, with ten blocks in a segment, the
// first five of them durable.
func lostStore(t *testing.T) vfs.FS {
	mem := vfs.NewCrashableMem()
	db := openTest(t, "s", &Options{FS: mem})
	c := createTest(t, db, 1)
	for i := uint64(0); i < 10; i++ {
		mode := Durable
		if i >= 5 {
			mode = Relaxed
		}
		commit(t, db, mode, func(b *Batch) {
			b.PutBlock(c, i, testBlock(i, 4096))
			b.SetHead(c, Head{Length: i + 1})
		})
	}
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

const lostSegment = "s/segments/00000001.seg"

// blockAt is where block i of lostStore lies.
func blockAt(i int64) int64 { return segmentHeaderLen + i*(4096+recordHeaderLen) + recordHeaderLen }

func TestCommitsEndBeforeTheFirstWithoutItsBytes(t *testing.T) {
	fs := lostStore(t)
	writeAt(t, fs, lostSegment, []byte("not what was written"), blockAt(7)+9)
	for range 2 {
		db := openTest(t, "s", &Options{FS: fs})
		c, err := db.Core(dkOf(1))
		if err != nil {
			t.Fatal(err)
		}
		if h := c.Head(); h.Length != 7 || h.Contiguous != 7 {
			t.Errorf("length %d with %d blocks, want 7", h.Length, h.Contiguous)
		}
		if lost := db.Lost(); len(lost) > 0 {
			t.Errorf("lost: %v", lost[0].Blocks)
		}
		if err := checkAll(db); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentThatNeverReachedTheDisk(t *testing.T) {
	fs := lostStore(t)
	if err := fs.Remove(lostSegment); err != nil {
		t.Fatal(err)
	}
	db := openTest(t, "s", &Options{FS: fs})
	c, err := db.Core(dkOf(1))
	if err != nil {
		t.Fatal(err)
	}
	// What was confirmed stays on the books, the rest goes as a whole.
	lost, err := c.Lost()
	if h := c.Head(); err != nil || h.Length != 5 || h.Contiguous != 0 || !slices.Equal(lost, []uint64{0, 1, 2, 3, 4}) {
		t.Errorf("length %d, contiguous %d, lost %v, %v", h.Length, h.Contiguous, lost, err)
	}
}

func TestBlocksTheDiskLostAreOnRecordUntilPutAgain(t *testing.T) {
	fs := lostStore(t)
	writeAt(t, fs, lostSegment, make([]byte, 100), blockAt(2))
	for again := range 3 {
		db := openTest(t, "s", &Options{FS: fs})
		c, err := db.Core(dkOf(1))
		if err != nil {
			t.Fatal(err)
		}
		if h := c.Head(); h.Length != 10 || c.Has(2, 3) || !c.Has(3, 10) {
			t.Errorf("length %d, has block 2: %v, the rest: %v", h.Length, c.Has(2, 3), c.Has(3, 10))
		}
		if _, err := c.Block(2, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("block 2: %v", err)
		}
		if n := len(db.Lost()); (n == 1) != (again == 0) {
			t.Errorf("opening %d found %d logs with losses", again, n)
		}
		lost, err := c.Lost()
		if err != nil || !slices.Equal(lost, []uint64{2}) {
			t.Errorf("lost %v, %v", lost, err)
		}
		if again == 2 {
			commit(t, db, Durable, func(b *Batch) { b.PutBlock(c, 2, testBlock(2, 4096)) })
			if lost, err := c.Lost(); err != nil || len(lost) > 0 {
				t.Errorf("lost %v after it was put again, %v", lost, err)
			}
		}
		if err := checkAll(db); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSyncedTellsWhetherAllIsDurable(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	c := createTest(t, db, 1)
	put := func(mode Mode) { commit(t, db, mode, func(b *Batch) { b.PutBlock(c, 0, testBlock(0, 4096)) }) }
	if put(Relaxed); db.Synced() {
		t.Error("a relaxed commit counts as durable")
	}
	if put(Durable); !db.Synced() {
		t.Error("a durable commit does not cover those before it")
	}
	put(Relaxed)
	if err := db.Flush(); err != nil || !db.Synced() {
		t.Errorf("not durable after Flush: %v", err)
	}
}
