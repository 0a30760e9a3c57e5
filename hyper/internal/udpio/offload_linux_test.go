package udpio

import (
	"bytes"
	"testing"
)

// A kernel or device that refuses trains costs speed, not datagrams.
func TestWithoutOffloadEverythingArrives(t *testing.T) {
	a, b := open(t), open(t)
	a.(*conn).writer.offload = false
	ds := make([]Datagram, 100)
	for i := range ds {
		ds[i] = Datagram{Data: bytes.Repeat([]byte{byte(i)}, 1200), Addr: b.LocalAddr()}
	}
	if err := a.WriteBatch(ds); err != nil {
		t.Fatal(err)
	}
	for i, got := range receive(t, b, a.LocalAddr(), len(ds)) {
		if !bytes.Equal(got, ds[i].Data) {
			t.Fatalf("datagram %d differs", i)
		}
	}
}
