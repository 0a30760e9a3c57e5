package storage

import (
	"bytes"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func (c *pageCache) bytes() (n int) {
	for i := range c.shards {
		c.shards[i].mu.Lock()
		n += c.shards[i].size
		c.shards[i].mu.Unlock()
	}
	return n
}

func TestTrimmedStoreHasNoCachesAndReadsTheSame(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	c := createTest(t, db, 1)
	const blocks = 5000
	for at := uint64(0); at < blocks; at += 500 {
		commit(t, db, Relaxed, func(b *Batch) {
			for i := at; i < at+500; i++ {
				b.PutBlock(c, i, testBlock(i, 1000))
			}
		})
	}
	read := func() {
		for i := uint64(0); i < blocks; i += 7 {
			if got, err := c.Block(i, nil); err != nil || !bytes.Equal(got, testBlock(i, 1000)) {
				t.Fatal(i, err)
			}
		}
	}
	for range 3 {
		read()
		if db.cache.bytes() == 0 {
			t.Fatal("nothing was cached")
		}
		db.Trim()
		s, err := db.Stats()
		if err != nil || db.cache.bytes() > 0 || s.BlockCache > 64<<10 {
			t.Fatal(db.cache.bytes(), s.BlockCache, err)
		}
	}
	read()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db.Trim() // does nothing
}

type someCache struct{ trimmed int }

func TestCachesAboveAreTrimmedAsLongAsTheyAreHeld(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	held := new(someCache)
	OnTrim(db, held, func(c *someCache) { c.trimmed++ })
	for range 1000 {
		OnTrim(db, &someCache{trimmed: 1 << 20}, func(c *someCache) { c.trimmed++ })
	}
	db.Trim()
	runtime.GC()
	for range 200 {
		OnTrim(db, held, func(c *someCache) { c.trimmed++ })
	}
	db.Trim()
	if held.trimmed != 202 {
		t.Errorf("trimmed %d times", held.trimmed)
	}
	if n := len(db.above.all()); n > 600 {
		t.Errorf("%d caches are remembered, of which 201 are held", n)
	}
}

// Compactions start by themselves, several in a row, and the store closes while there is
// more to do.
func TestCompactionsKeepUp(t *testing.T) {
	db := openTest(t, t.TempDir(), &Options{MemTableSize: 256 << 10})
	c := createTest(t, db, 1)
	for at := uint64(0); at < 30_000; at += 100 {
		commit(t, db, Relaxed, func(b *Batch) {
			for i := at; i < at+100; i++ {
				b.PutBlock(c, i*7919%30_000, testBlock(i, 500))
			}
		})
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s, err := db.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if s.Compactions > 0 && s.ReadAmplification < 12 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
	}
}

// A disk without room takes no tables, for as long as it has none.
func TestTrimDoesNotWaitForRoomOnTheDisk(t *testing.T) {
	var full atomic.Bool
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return &vfsError{syscall.ENOSPC}
		}
		return nil
	}))
	db := openTest(t, "s", &Options{FS: disk})
	c := createTest(t, db, 1)
	commit(t, db, Durable, func(b *Batch) { b.PutBlock(c, 0, testBlock(0, 100)) })
	full.Store(true)
	trimmed := make(chan struct{})
	go func() {
		defer close(trimmed)
		db.Trim()
	}()
	select {
	case <-trimmed:
	case <-time.After(time.Minute):
		t.Error("it waits")
	}
	if got, err := c.Block(0, nil); err != nil || !bytes.Equal(got, testBlock(0, 100)) {
		t.Error(err)
	}
	full.Store(false)
	<-trimmed
}
