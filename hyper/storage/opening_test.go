package storage

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/storage/baddisk"
)

// A disk fails while a store is opened that was not closed, and has to write out what was in
// its log. Open ends, and says why; on a good disk everything is there.
func TestOpeningOnAFailingDiskEnds(t *testing.T) {
	mem := vfs.NewCrashableMem()
	db := openTest(t, "s", &Options{FS: baddisk.Reusing(mem)})
	c := createTest(t, db, 1)
	for i := range uint64(20) {
		b := db.NewBatch()
		b.PutBlock(c, i, testBlock(i, 700))
		b.SetHead(c, Head{Length: i + 1})
		if err := b.Commit(Durable); err != nil {
			t.Fatal(err)
		}
	}
	clone := func(mem *vfs.MemFS) *vfs.MemFS {
		return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	}
	image := clone(mem)
	for _, way := range baddisk.Ways() {
		for ; ; way = way.Next(!testing.Short()) {
			left := clone(image)
			disk := baddisk.New(left)
			disk.Fail(way)
			opened := make(chan error, 1)
			go func() {
				db, err := Open("s", &Options{FS: disk})
				if err == nil {
					err = db.Close()
				}
				opened <- err
			}()
			select {
			case err := <-opened:
				if err != nil && !errors.Is(err, syscall.EIO) {
					t.Fatalf("%v, operation %d: %v", way, way.At, err)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%v, operation %d: it does not end", way, way.At)
			}
			seen, _ := disk.Mend()
			again, err := Open("s", &Options{FS: baddisk.New(clone(left))})
			if err != nil {
				t.Fatalf("%v, operation %d: %v", way, way.At, err)
			}
			if c, err := again.Core(dkOf(1)); err != nil || c.Head().Length != 20 {
				t.Fatalf("%v, operation %d: %v", way, way.At, err)
			}
			if err := errors.Join(checkAll(again), again.Close()); err != nil {
				t.Fatalf("%v, operation %d: %v", way, way.At, err)
			}
			if seen <= way.At {
				break
			}
		}
	}
}
