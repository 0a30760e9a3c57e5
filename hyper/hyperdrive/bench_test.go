package hyperdrive

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

const benchFiles = 20_000

func benchDrive(b *testing.B) *Drive {
	b.Helper()
	d := newTestDrive(b, nil)
	batch := d.Batch()
	data := make([]byte, 4096)
	for i := range benchFiles {
		data[i%4096]++
		if err := batch.Put(b.Context(), fmt.Sprintf("d%03d/f%05d", i/100, i), data, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return d
}

func BenchmarkList(b *testing.B) {
	d := benchDrive(b)
	for b.Loop() {
		n := 0
		for _, err := range d.List(b.Context(), "") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchFiles {
			b.Fatal(n)
		}
	}
	b.ReportMetric(benchFiles*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkGetSmall(b *testing.B) {
	d := benchDrive(b)
	b.ReportAllocs()
	for b.Loop() {
		i := rand.IntN(benchFiles)
		if _, err := d.Get(b.Context(), fmt.Sprintf("d%03d/f%05d", i/100, i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadRange(b *testing.B) {
	d := newTestDrive(b, nil)
	const size = 64 << 20
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	if err := d.Put(b.Context(), "large", data, nil); err != nil {
		b.Fatal(err)
	}
	part := make([]byte, 64<<10)
	for b.Loop() {
		r, err := d.Open(b.Context(), "large")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.ReadAt(part, rand.Int64N(size-int64(len(part)))); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
