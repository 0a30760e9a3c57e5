package hypercore

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchBlocks returns n distinct incompressible blocks.
func benchBlocks(n, size int) [][]byte {
	src := rand.NewChaCha8([32]byte{1})
	list := make([][]byte, n)
	for i := range list {
		list[i] = make([]byte, size)
		_, _ = src.Read(list[i])
		binary.LittleEndian.PutUint64(list[i], uint64(i))
	}
	return list
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		size, batch int
		relaxed     bool
	}{{100, 1, true}, {100, 1, false}, {100, 100, true}, {100, 1000, true}, {1 << 10, 100, true}, {64 << 10, 16, true}} {
		b.Run(fmt.Sprintf("size=%d/batch=%d/relaxed=%v", c.size, c.batch, c.relaxed), func(b *testing.B) {
			core := openCore(b, openDB(b), &Options{KeyPair: seeded(1), Relaxed: c.relaxed})
			blocks := benchBlocks(c.batch, c.size)
			b.SetBytes(int64(c.size * c.batch))
			b.ReportAllocs()
			for b.Loop() {
				mustAppend(b, core, blocks...)
			}
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "blocks/s")
		})
	}
}

func BenchmarkAppendFromManyWriters(b *testing.B) {
	core := openCore(b, openDB(b), &Options{KeyPair: seeded(1)})
	block := benchBlocks(1, 100)[0]
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mustAppend(b, core, block)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
}

func BenchmarkGet(b *testing.B) {
	core := openCore(b, openDB(b), &Options{KeyPair: seeded(1), Relaxed: true})
	const n = 200_000
	for range n / 1000 {
		mustAppend(b, core, benchBlocks(1000, 100)...)
	}
	for _, order := range []string{"random", "sequential"} {
		b.Run(order, func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 2))
			var i uint64
			for b.Loop() {
				if i++; order == "random" {
					i = r.Uint64N(n)
				}
				if _, err := core.GetLocal(i % n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReplicate(b *testing.B) {
	for _, c := range []struct{ size, count int }{{100, 20_000}, {64 << 10, 2048}} {
		b.Run(fmt.Sprintf("size=%d", c.size), func(b *testing.B) {
			w := openCore(b, openDB(b), &Options{KeyPair: seeded(1), Relaxed: true})
			for n := 0; n < c.count; n += 32 {
				mustAppend(b, w, benchBlocks(32, c.size)...)
			}
			b.SetBytes(int64(c.size * c.count))
			b.ResetTimer()
			for range b.N {
				r := reader(b, w, nil)
				l := replicate(b, w, r)
				if err := r.Download(Range{}).Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
				l.stop()
			}
			b.ReportMetric(float64(b.N*c.count)/b.Elapsed().Seconds(), "blocks/s")
		})
	}
}
