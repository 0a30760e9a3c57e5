package udpio

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

func open(t testing.TB) Conn {
	t.Helper()
	c, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// receive returns the next n datagrams.
func receive(t *testing.T, c Conn, from netip.AddrPort, n int) (got [][]byte) {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { c.Close() })
	defer timer.Stop()
	for len(got) < n {
		ds, err := c.ReadBatch()
		if err != nil {
			t.Fatalf("%v after %d of %d datagrams", err, len(got), n)
		}
		for _, d := range ds {
			if d.Addr != from {
				t.Errorf("a datagram from %v", d.Addr)
			}
			got = append(got, bytes.Clone(d.Data))
		}
	}
	return got
}

// Runs of equal and unequal sizes, to one address and to several, arrive as they
// were sent, whatever the kernel made of them on the way.
func TestBatchesArriveAsTheyWereSent(t *testing.T) {
	a, b, other := open(t), open(t), open(t)
	for round := range 20 {
		var ds []Datagram
		var want [][]byte
		elsewhere := 0
		for i := range 150 {
			size := 1200
			switch {
			case i%40 == 39:
				size = 700
			case i%50 == 49:
				size = 0
			case i > 100:
				size = 20 + i
			}
			data := bytes.Repeat([]byte{byte(round + i)}, size)
			d := Datagram{Data: data, Addr: b.LocalAddr()}
			switch {
			case i%60 == 30:
				d.Addr = other.LocalAddr()
				elsewhere++
			case i%70 == 35:
				d.TTL = 3
			case i%70 == 36:
				d.Fragment = true
			}
			if d.Addr == b.LocalAddr() {
				want = append(want, data)
			}
			ds = append(ds, d)
		}
		if err := a.WriteBatch(ds); err != nil {
			t.Fatal(err)
		}
		got := receive(t, b, a.LocalAddr(), len(want))
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("round %d, datagram %d: %d bytes, want %d", round, i, len(got[i]), len(want[i]))
			}
		}
		receive(t, other, a.LocalAddr(), elsewhere)
	}
}

func TestWhatCannotBeSentIsLost(t *testing.T) {
	a, b := open(t), open(t)
	ds := []Datagram{
		{Data: make([]byte, 100), Addr: netip.MustParseAddrPort("127.0.0.1:0")},
		{Data: make([]byte, 70000), Addr: b.LocalAddr()},
		{Data: make([]byte, 100), Addr: netip.MustParseAddrPort("255.255.255.255:9")},
		{Data: []byte("last"), Addr: b.LocalAddr()},
	}
	if err := a.WriteBatch(ds); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, b, a.LocalAddr(), 1); string(got[0]) != "last" {
		t.Errorf("got %d bytes", len(got[0]))
	}
}

func TestCloseEndsReading(t *testing.T) {
	c := open(t)
	done := make(chan error)
	go func() {
		_, err := c.ReadBatch()
		done <- err
	}()
	c.Close()
	if err := <-done; err != net.ErrClosed {
		t.Error(err)
	}
	if err := c.WriteBatch([]Datagram{{Data: []byte("x"), Addr: c.LocalAddr()}}); err != net.ErrClosed {
		t.Error(err)
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 32, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, y := open(b), open(b)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					if _, err := y.ReadBatch(); err != nil {
						return
					}
				}
			}()
			ds := make([]Datagram, n)
			for i := range ds {
				ds[i] = Datagram{Data: make([]byte, 1200), Addr: y.LocalAddr()}
			}
			b.SetBytes(int64(n) * 1200)
			b.ReportAllocs()
			for b.Loop() {
				if err := x.WriteBatch(ds); err != nil {
					b.Fatal(err)
				}
			}
			y.Close()
			<-done
		})
	}
}
