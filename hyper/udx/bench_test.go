package udx_test

import (
	"io"
	"runtime"
	"testing"

	"github.com/tradle/cloudpal/hyper/udx"
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

// Small messages, each written on its own.
func BenchmarkSmallWrites(b *testing.B) {
	x, y := pair(b, nil)
	const size = 100
	b.SetBytes(size)
	b.ReportAllocs()
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(io.Discard, onlyReader{y}, make([]byte, 64<<10))
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
}

// One small message back and forth.
func BenchmarkRoundTrip(b *testing.B) {
	x, y := pair(b, nil)
	go io.CopyBuffer(onlyWriter{y}, onlyReader{y}, make([]byte, 1000))
	b.ReportAllocs()
	buf := make([]byte, 100)
	for b.Loop() {
		if _, err := x.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(x, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// Memory of a connected stream that has sent and received.
func BenchmarkIdleStream(b *testing.B) {
	ta, tb := udx.NewTransport(nil), udx.NewTransport(nil)
	defer ta.Close()
	defer tb.Close()
	sa, err := ta.Listen(loopback, nil)
	if err != nil {
		b.Fatal(err)
	}
	sb, err := tb.Listen(loopback, nil)
	if err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	var keep []*udx.Stream
	for b.Loop() {
		x, _ := ta.NewStream(nil)
		y, _ := tb.NewStream(nil)
		x.Connect(sa, y.ID(), sb.LocalAddr())
		y.Connect(sb, x.ID(), sa.LocalAddr())
		x.Write([]byte("x"))
		if _, err := io.ReadFull(y, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		keep = append(keep, x, y)
		n += 2
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/stream")
	runtime.KeepAlive(keep)
}
