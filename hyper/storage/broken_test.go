package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/storage/baddisk"
)

// TestAFailingDiskEndsChangesAndNothingElse makes the disk fail at every n-th change, once
// or from then on, while logs and tables come and go, and takes the power away afterwards.
// The process goes on, reads go on, and what was acknowledged as durable is there.
func TestAFailingDiskEndsChangesAndNothingElse(t *testing.T) {
	for _, forever := range []bool{false, true} {
		for n := int64(0); !breakAt(t, n, forever); n++ {
			if testing.Short() {
				n += 10
			}
		}
	}
}

func breakAt(t *testing.T, n int64, forever bool) (done bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	fs := baddisk.New(mem)
	db, err := Open("s", &Options{FS: fs, MemTableSize: 32 << 10, SegmentSize: 20000})
	if err != nil {
		t.Fatal(err)
	}
	c := createTest(t, db, 1)
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	sizeOf := func(i uint64) int { return []int{3000, 30, 700}[i%3] }
	fs.Fail(baddisk.Fault{Op: errorfs.OpIsWrite, At: n, Forever: forever})
	var acked, written uint64
	for i := range uint64(60) {
		b := db.NewBatch()
		b.PutBlock(c, i, testBlock(i, sizeOf(i)))
		b.SetHead(c, Head{Length: i + 1})
		err := b.Commit(Durable)
		b.Close()
		if err != nil {
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("change %d: commit %d: %v", n, i, err)
			}
			break
		}
		acked = i + 1
	}
	written = c.Head().Length
	for i := range acked {
		if got, err := c.Block(i, nil); err != nil || !bytes.Equal(got, testBlock(i, sizeOf(i))) {
			t.Fatalf("change %d: block %d: %v", n, i, err)
		}
	}
	failed := false
	select {
	case <-db.Failed():
		failed = true
		if !errors.Is(db.Err(), ErrFailed) {
			t.Fatalf("change %d: %v", n, db.Err())
		}
	default:
	}
	if err := db.Close(); failed && !errors.Is(err, ErrFailed) {
		t.Fatalf("change %d: close: %v", n, err)
	}
	seen, _ := fs.Mend()
	after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50}[n%2], RNG: rand.New(rand.NewPCG(uint64(n), 1))})
	again, err := Open("s", &Options{FS: after, SegmentSize: 20000})
	if err != nil {
		t.Fatalf("change %d, forever %v: reopen: %v", n, forever, err)
	}
	defer again.Close()
	if c, err = again.Core(dkOf(1)); err != nil {
		t.Fatalf("change %d, forever %v: %v", n, forever, err)
	}
	if h := c.Head(); h.Length < acked || h.Length > max(written, acked+1) {
		t.Fatalf("change %d, forever %v: %d commits of %d acknowledged, %d are there, lost %v", n, forever, acked, written, h.Length, again.Lost())
	}
	for i := range c.Head().Length {
		if got, err := c.Block(i, nil); err != nil || !bytes.Equal(got, testBlock(i, sizeOf(i))) {
			t.Fatalf("change %d, forever %v: block %d: %v", n, forever, i, err)
		}
	}
	return seen <= n
}
