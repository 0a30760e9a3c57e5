package udx_test

import (
	"net/netip"
	"testing"

	"github.com/tradle/cloudpal/hyper/udx"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// pair returns two connected streams over sockets of their own.
func pair(t testing.TB, o *udx.Options) (a, b *udx.Stream) {
	t.Helper()
	ends := [2]*udx.Stream{}
	socks := [2]*udx.Socket{}
	for i := range ends {
		tr := udx.NewTransport(o)
		t.Cleanup(func() { tr.Close() })
		s, err := tr.Listen(loopback, nil)
		if err != nil {
			t.Fatal(err)
		}
		st, err := tr.NewStream(nil)
		if err != nil {
			t.Fatal(err)
		}
		ends[i], socks[i] = st, s
	}
	for i, st := range ends {
		other := 1 - i
		if err := st.Connect(socks[i], ends[other].ID(), socks[other].LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	return ends[0], ends[1]
}
