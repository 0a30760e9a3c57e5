package storage

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestShrinkGivesBackSmallBlocksOfADeletedCore(t *testing.T) {
	db := openTest(t, "s", &Options{FS: vfs.NewMem()})
	c, other := createTest(t, db, 1), createTest(t, db, 2)
	for i := range uint64(40) {
		commit(t, db, Relaxed, func(b *Batch) {
			for k := range uint64(500) {
				b.PutBlock(c, 500*i+k, testBlock(500*i+k, 1000))
			}
		})
	}
	commit(t, db, Relaxed, func(b *Batch) { b.PutBlock(other, 0, []byte("stays")) })
	if err := c.Shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	used := func() uint64 {
		prefix := appendCoreKey(nil, c.id, 0)[:corePrefixLen]
		n, err := db.pebble.EstimateDiskUsage(prefix, prefixEnd(prefix))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := used()
	if before < 15<<20 {
		t.Fatalf("%d bytes stored", before)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.DeleteCore(c) })
	if err := c.Shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := used(); after > 1<<20 {
		t.Errorf("%d of %d bytes are left", after, before)
	}
	if b, err := other.Block(0, nil); err != nil || string(b) != "stays" {
		t.Errorf("%q, %v", b, err)
	}
}
