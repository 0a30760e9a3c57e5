package storage

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// batchOf fills b with an append of n blocks from start on.
func batchOf(b *Batch, c *Core, start uint64, blocks [][]byte, nodes []merkle.Node) {
	b.PutBlocks(c, start, blocks)
	b.PutNodes(c, nodes)
	b.SetHead(c, Head{Length: start + uint64(len(blocks)), Signature: make([]byte, 64)})
}

func nodesFor(nodes []merkle.Node, start uint64, n int) []merkle.Node {
	for i := range n {
		k := start + uint64(i)
		nodes = append(nodes, merkle.Node{Index: 2 * k, Size: 100})
		for d := uint(1); (k+1)&(1<<d-1) == 0; d++ {
			nodes = append(nodes, merkle.Node{Index: (2*(k>>d)+1)<<d - 1, Size: 100 << d})
		}
	}
	return nodes
}

func sameBlocks(n, size int) [][]byte {
	data := testBlock(1, size)
	bs := make([][]byte, n)
	for i := range bs {
		bs[i] = data
	}
	return bs
}

func dirSize(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			n += fi.Size()
		}
		return nil
	})
	return n
}

func benchAppend(b *testing.B, size, batch int, mode Mode) {
	dir := b.TempDir()
	db, err := Open(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	c := createTest(b, db, 1)
	blocks := sameBlocks(batch, size)
	bt := db.NewBatch()
	next := uint64(0)
	var spent, cpu time.Duration
	var nodes []merkle.Node
	b.ReportAllocs()
	for b.Loop() {
		nodes = nodesFor(nodes[:0], next, batch)
		t, c0 := time.Now(), cpuTime()
		batchOf(bt, c, next, blocks, nodes)
		if err := bt.Commit(mode); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(t)
		cpu += cpuTime() - c0
		next += uint64(batch)
	}
	b.ReportMetric(float64(next)/spent.Seconds(), "blocks/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(next), "cpu-ns/block")
	b.StopTimer()
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(dirSize(dir))/float64(next)-float64(size), "overhead-B/block")
}

func BenchmarkAppend(b *testing.B) {
	b.Run("100B-batch1", func(b *testing.B) { benchAppend(b, 100, 1, Relaxed) })
	b.Run("100B-batch1-durable", func(b *testing.B) { benchAppend(b, 100, 1, Durable) })
	b.Run("100B-batch1000", func(b *testing.B) { benchAppend(b, 100, 1000, Relaxed) })
	b.Run("1KiB-batch100", func(b *testing.B) { benchAppend(b, 1024, 100, Relaxed) })
	b.Run("64KiB-batch16", func(b *testing.B) { benchAppend(b, 65536, 16, Relaxed) })
}

// cpuTime is what the process has used, background work included.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// million makes a store with one core of 1M blocks of 100 B.
func million(b *testing.B) string {
	dir := b.TempDir()
	db, err := Open(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	c := createTest(b, db, 1)
	bt := db.NewBatch()
	blocks := sameBlocks(1000, 100)
	for next := uint64(0); next < 1e6; next += 1000 {
		batchOf(bt, c, next, blocks, nodesFor(nil, next, 1000))
		if err := bt.Commit(Relaxed); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

func BenchmarkMillion(b *testing.B) {
	dir := million(b)
	b.Run("open+get", func(b *testing.B) {
		for b.Loop() {
			db, err := Open(dir, nil)
			if err != nil {
				b.Fatal(err)
			}
			c, err := db.Core(dkOf(1))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Block(777777, nil); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			db.Close()
			b.StartTimer()
		}
	})
	db := openTest(b, dir, nil)
	c, err := db.Core(dkOf(1))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	get := func(b *testing.B, i uint64) {
		if _, err := c.Block(i, buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("get-random", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			get(b, rand.Uint64N(1e6))
		}
	})
	b.Run("get-random-8-readers", func(b *testing.B) {
		var mu sync.Mutex
		var all []time.Duration
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			var own []time.Duration
			buf := make([]byte, 0, 4096)
			for pb.Next() {
				t := time.Now()
				if _, err := c.Block(rand.Uint64N(1e6), buf); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Nanoseconds()), "p50-ns")
		b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds()), "p99-ns")
	})
	b.Run("get-sequential", func(b *testing.B) {
		b.ReportAllocs()
		i := uint64(0)
		for b.Loop() {
			get(b, i%1e6)
			i++
		}
	})
	b.Run("node-random", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Node(rand.Uint64N(1e6) * 2); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("proof-path-random", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k := rand.Uint64N(3 << 18)
			for d := uint(0); d < 18; d++ {
				o := k>>d ^ 1
				if _, err := c.Node((2*o+1)<<d - 1); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := c.Snapshot()
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range c.BlocksFrom(0, 1e6) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
		}
	})
}
