package udx_test

import (
	"io"
	"testing"
)

func BenchmarkStream(b *testing.B) {
	x, y := pair(b, nil)
	const size = 256 << 10
	b.SetBytes(size)
	b.ReportAllocs()
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(io.Discard, onlyReader{y}, make([]byte, 256<<10))
		done <- err
	}()
	buf := make([]byte, size)
	for b.Loop() {
		if _, err := x.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	x.CloseWrite()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.Logf("%+v", x.Stats())
}

// onlyReader hides other methods of a stream from io.Copy.
type onlyReader struct{ io.Reader }
