package udx

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/simnet"
	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

// The other side names the last packets in blocks while the first one is missing, and
// then, as JavaScript does when its answer goes out while it takes in what it held,
// acknowledges the first one alone, and the others in a packet that brings no news.
func TestAStreamEndsWhateverTheOrderOfTheLastAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		defer n.Close()
		host, far := n.Host(netip.MustParseAddr("1.0.0.1")), n.Host(netip.MustParseAddr("1.0.0.2"))
		peer, err := far.Listen(netip.MustParseAddrPort("1.0.0.2:2"))
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		tr := NewTransport(&Options{Listen: host.Listen})
		defer tr.Close()
		sock, err := tr.Listen(netip.MustParseAddrPort("1.0.0.1:1"), nil)
		if err != nil {
			t.Fatal(err)
		}
		st, err := tr.NewStreamID(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Connect(sock, 2, peer.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		if err := st.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // the last packet may be held back by the pace
		synctest.Wait()
		last := st.snd.next
		if last < 3 {
			t.Fatalf("%d packets", last)
		}
		answer := func(h header, blocks ...span) {
			h.id, h.window = 1, 1<<20
			p := make([]byte, headerSize+len(blocks)*blockSize)
			h.put(p)
			for i, b := range blocks {
				b.put(p[headerSize+i*blockSize:])
			}
			if err := peer.WriteBatch([]udpio.Datagram{{Data: p, Addr: sock.LocalAddr()}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // a run of its own
			synctest.Wait()
			st.check(t)
		}
		answer(header{flags: flagSack}, span{1, last})
		answer(header{ack: 1})
		answer(header{flags: flagEnd, ack: last})
		select {
		case <-st.Done():
			if err := st.Err(); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("it goes on: %s", st.Dump())
		}
	})
}
