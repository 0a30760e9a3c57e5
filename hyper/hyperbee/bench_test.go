package hyperbee_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
)

// benchKey returns the i-th of n keys in a random-looking order.
func benchKey(b []byte, i, n int) []byte {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return fmt.Appendf(b[:0], "%012x", x&(1<<48-1))
}

// benchTree is a tree in a store on disk.
func benchTree(b *testing.B, opts *hyperbee.Options) *hyperbee.Tree {
	b.Helper()
	s, err := corestore.Open(context.Background(), b.TempDir(), &corestore.Options{Relaxed: true})
	check(b, err)
	b.Cleanup(func() { check(b, s.Close()) })
	core, err := s.Get(context.Background(), corestore.GetOptions{Name: "bench"})
	check(b, err)
	return hyperbee.New(core, opts)
}

func fill(b *testing.B, tree *hyperbee.Tree, from, to, n, batch int) {
	b.Helper()
	ctx := context.Background()
	value := make([]byte, 100)
	key := make([]byte, 0, 16)
	for i := from; i < to; {
		bt := tree.Batch()
		for j := 0; j < batch && i < to; j++ {
			binary.LittleEndian.PutUint64(value, uint64(i))
			check(b, bt.Put(ctx, benchKey(key, i, n), value, nil))
			i++
		}
		check(b, bt.Flush(ctx))
	}
}

func BenchmarkPutBatch1000(b *testing.B) {
	tree := benchTree(b, nil)
	b.ReportAllocs()
	b.ResetTimer()
	fill(b, tree, 0, b.N, b.N, 1000)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

func BenchmarkPutSingle(b *testing.B) {
	tree := benchTree(b, nil)
	b.ReportAllocs()
	b.ResetTimer()
	fill2(b, tree, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

func fill2(b *testing.B, tree *hyperbee.Tree, n int) {
	key := make([]byte, 0, 16)
	value := make([]byte, 100)
	for i := range n {
		check(b, tree.Put(context.Background(), benchKey(key, i, n), value, nil))
	}
}

const readKeys = 100_000

// BenchmarkRead reads a tree of 100,000 keys after a reopening, so that the
// cache is empty at the start.
func BenchmarkRead(b *testing.B) {
	built := benchTree(b, nil)
	fill(b, built, 0, readKeys, readKeys, 1000)
	check(b, built.Close())
	ctx := context.Background()
	key := make([]byte, 0, 16)

	b.Run("get", func(b *testing.B) {
		tree := hyperbee.New(built.Core(), nil)
		defer tree.Close()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_, ok, err := tree.Get(ctx, benchKey(key, i*7919%readKeys, readKeys))
			if err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "gets/s")
	})
	b.Run("range100", func(b *testing.B) {
		tree := hyperbee.New(built.Core(), nil)
		defer tree.Close()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n := 0
			for _, err := range tree.Entries(ctx, hyperbee.Range{GTE: benchKey(key, i*7919%readKeys, readKeys), Limit: 100}) {
				check(b, err)
				n++
			}
			if n == 0 {
				b.Fatal("nothing found")
			}
		}
	})
	b.Run("scan-cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tree := hyperbee.New(built.Core(), nil)
			n := 0
			for _, err := range tree.Entries(ctx, hyperbee.Range{}) {
				check(b, err)
				n++
			}
			if n != readKeys {
				b.Fatal(n)
			}
			check(b, tree.Close())
		}
		b.ReportMetric(float64(b.N)*readKeys/b.Elapsed().Seconds(), "entries/s")
	})
	b.Run("scan-warm", func(b *testing.B) {
		tree := hyperbee.New(built.Core(), nil)
		defer tree.Close()
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range tree.Entries(ctx, hyperbee.Range{}) {
				check(b, err)
			}
		}
		b.ReportMetric(float64(b.N)*readKeys/b.Elapsed().Seconds(), "entries/s")
	})
	b.Run("history", func(b *testing.B) {
		tree := hyperbee.New(built.Core(), nil)
		defer tree.Close()
		for b.Loop() {
			for _, err := range tree.History(ctx, hyperbee.HistoryRange{}) {
				check(b, err)
			}
		}
		b.ReportMetric(float64(b.N)*readKeys/b.Elapsed().Seconds(), "entries/s")
	})
}

// BenchmarkBuildMillion builds a tree of a million keys in batches of 1000 and
// reports the heap at the end.
func BenchmarkBuildMillion(b *testing.B) {
	for b.Loop() {
		tree := benchTree(b, nil)
		fill(b, tree, 0, 1_000_000, 1_000_000, 1000)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		check(b, tree.Close())
	}
}
