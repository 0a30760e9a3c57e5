package content

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkWrite(b *testing.B) {
	_, all := local(b, 1)
	data := random(1, 128<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		all[0].write(data, nil)
	}
}

func BenchmarkEditOfOneByte(b *testing.B) {
	_, all := local(b, 2)
	data := random(1, 128<<20)
	ref := all[0].write(data, nil).Ref
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	stored := uint64(0)
	for i := 0; b.Loop(); i++ {
		data[i*7919*1000%len(data)] ^= 1
		w := all[i%2].write(data, &ref)
		ref = w.Ref
		stored += w.Stored
	}
	b.ReportMetric(float64(stored)/float64(b.N), "stored/op")
}

func BenchmarkSmallFiles(b *testing.B) {
	_, all := local(b, 1)
	const n = 500
	var data [n][]byte
	for i := range data {
		data[i] = random(uint64(i), 4000)
	}
	b.ReportAllocs()
	for round := byte(0); b.Loop(); round++ {
		batch, err := all[0].Batch()
		if err != nil {
			b.Fatal(err)
		}
		for i := range data {
			data[i][0] = round
			batch.Add(data[i])
		}
		if _, err := batch.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkRead(b *testing.B) {
	_, all := local(b, 1)
	data := random(1, 128<<20)
	ref := all[0].write(data, nil).Ref
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := all[0].Open(b.Context(), ref)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkHashOf(b *testing.B) {
	data := random(1, 32<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := HashOf(b.Context(), bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
