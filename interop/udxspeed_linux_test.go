package interop

import (
	"io"
	"net/netip"
	"testing"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/udx"
)

// udxPair returns two connected streams on sockets of their own.
func udxPair(t testing.TB) (x, y *udx.Stream) {
	t.Helper()
	var socks [2]*udx.Socket
	var ends [2]*udx.Stream
	for i := range ends {
		tr := udx.NewTransport(nil)
		t.Cleanup(func() { tr.Close() })
		var err error
		if socks[i], err = tr.Listen(netip.MustParseAddrPort("127.0.0.1:0"), nil); err != nil {
			t.Fatal(err)
		}
		if ends[i], err = tr.NewStream(nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range ends {
		if err := ends[i].Connect(socks[i], ends[1-i].ID(), socks[1-i].LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	return ends[0], ends[1]
}

func pour(b *testing.B, w io.Writer, r io.Reader, end func() error) {
	b.Helper()
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 256<<10))
		done <- err
	}()
	for b.Loop() {
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	end()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkUDX(b *testing.B) {
	isolate(b)
	x, y := udxPair(b)
	pour(b, x, y, x.CloseWrite)
}

func BenchmarkUDXUnderLoss(b *testing.B) {
	isolate(b)
	lose(b, "2")
	x, y := udxPair(b)
	pour(b, x, y, x.CloseWrite)
}

func BenchmarkSecretStreamOverUDX(b *testing.B) {
	isolate(b)
	x, y := udxPair(b)
	accepted := make(chan *secretstream.Conn, 1)
	go func() {
		c, err := secretstream.Server(b.Context(), y, nil)
		if err != nil {
			b.Error(err)
		}
		accepted <- c
	}()
	c, err := secretstream.Client(b.Context(), x, nil)
	if err != nil {
		b.Fatal(err)
	}
	pour(b, c, <-accepted, c.CloseWrite)
}
