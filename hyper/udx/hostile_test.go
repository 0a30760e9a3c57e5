package udx

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/simnet"
	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

func FuzzParse(f *testing.F) {
	h := header{flags: flagData | flagSack, offset: 8, id: 1, window: 2, seq: 3, ack: 4}
	seed := make([]byte, headerSize+12)
	h.put(seed)
	f.Add(seed)
	f.Add([]byte{magic, version})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parse(b)
		if !ok {
			return
		}
		again := make([]byte, headerSize)
		h.put(again)
		if string(again) != string(b[:headerSize]) {
			t.Errorf("%x became %x", b[:headerSize], again)
		}
		blocks, data, ok := h.split(b)
		if ok && len(blocks)+len(data) > len(b)-headerSize {
			t.Errorf("%d and %d bytes out of %d", len(blocks), len(data), len(b))
		}
	})
}

// FuzzPackets has a stream that is sending get any packets from its remote.
// Whatever they say, what the stream holds is bounded and consistent.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{1, 0, 1, 0, 10, 0, 1, 0, 5, 0, 10, 0})
	f.Add([]byte{4, 0, 0, 1, 3, 9, 4, 1, 0, 2, 7, 255, 16, 0, 0, 0, 0, 0})
	f.Add([]byte{2, 0, 200, 0, 0, 0, 3, 0, 100, 0, 9, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 3000 {
			return
		}
		synctest.Test(t, func(t *testing.T) { attack(t, script) })
	})
}

// attack sends a packet for each six bytes of script: flags, data offset, number
// (relative to what is expected), acknowledgement (relative to the oldest not
// acknowledged), size, and what blocks, window and pauses are made from.
func attack(t *testing.T, script []byte) {
	n := simnet.New(1)
	defer n.Close()
	host, far := n.Host(netip.MustParseAddr("1.0.0.1")), n.Host(netip.MustParseAddr("1.0.0.2"))
	peer, err := far.Listen(netip.MustParseAddrPort("1.0.0.2:2"))
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	tr := NewTransport(&Options{Listen: host.Listen, ReceiveWindow: minWindow, SendBuffer: 32 << 10})
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
	written := make(chan struct{})
	go func() {
		defer close(written)
		st.Write(make([]byte, 1<<20))
	}()
	spread := func(b byte) uint32 { // small steps, and some large ones
		if b > 250 {
			return uint32(b) << 24
		}
		return uint32(int32(int8(b)))
	}
	for ; len(script) >= 6; script = script[6:] {
		st.mu.Lock()
		h := header{flags: script[0], offset: script[1], id: 1, window: spread(script[5]) << 10,
			seq: st.rcv.next + spread(script[2]), ack: st.snd.una + spread(script[3])}
		una := st.snd.una
		st.mu.Unlock()
		p := make([]byte, headerSize+int(script[4])*8)
		h.put(p)
		for b := p[headerSize:]; len(b) >= 8; b = b[8:] {
			binary.LittleEndian.PutUint32(b, una+uint32(script[5]%32)+uint32(len(b)))
			binary.LittleEndian.PutUint32(b[4:], una+uint32(script[5]%32)+uint32(len(b))+uint32(script[2]%5))
		}
		peer.WriteBatch([]udpio.Datagram{{Data: p, Addr: sock.LocalAddr()}})
		time.Sleep(time.Duration(script[5]%4) * 300 * time.Millisecond)
		synctest.Wait()
		st.check(t)
	}
	st.Close()
	<-written
}

// check fails the test if the books of the stream are wrong.
func (st *Stream) check(t *testing.T) {
	t.Helper()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.state != stateOpen {
		return
	}
	s, r := &st.snd, &st.rcv
	inflight, bytes, count := 0, 0, 0
	for p := s.sent.first; p != nil; p = p.next {
		inflight += p.size()
		bytes += p.size()
		count++
	}
	for p := s.lost.first; p != nil; p = p.next {
		bytes += p.size()
		count++
	}
	if inflight != s.inflight || bytes != s.bytes || count != s.count || count+s.sacked != int(s.next-s.una) {
		t.Fatalf("counted %d %d %d, %s", inflight, bytes, count, st.dump())
	}
	unsent := 0
	for p := s.unsent.first; p != nil; p = p.next {
		unsent += p.end - p.start
	}
	if unsent != s.unsentBytes || unsent > st.t.opts.SendBuffer+maxPayload {
		t.Fatalf("counted %d unsent, %s", unsent, st.dump())
	}
	held, last := 0, r.next
	for _, sp := range r.spans {
		if !before(last, sp.start) || !before(sp.start, sp.end) {
			t.Fatalf("spans %v, %s", r.spans, st.dump())
		}
		last = sp.end
		held += int(sp.end - sp.start)
	}
	limit := 2 * st.t.opts.ReceiveWindow
	if held != r.held || held*maxAccepted > limit || r.unread > limit || len(r.ring) > maxDistance {
		t.Fatalf("held %d, %s", held, st.dump())
	}
}

func TestHostilePacketsInOrder(t *testing.T) {
	for flags := range 64 {
		for _, ahead := range []byte{0, 1, 100, 251, 255} {
			var script []byte
			for i := range byte(40) {
				script = append(script, byte(flags), i%9, ahead+i, i, i*5, ahead^i)
			}
			synctest.Test(t, func(t *testing.T) { attack(t, script) })
		}
	}
}
