package hyperdht

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/internal/simnet"
)

// request encodes a request packet of a client.
func request(tid uint16, to netip.AddrPort, command byte, target dhtrpc.ID, token *[32]byte, value []byte) []byte {
	flags := byte(8 | 16)
	if token != nil {
		flags |= 2
	}
	b := compact.AppendIPv4Address(compact.AppendUint16([]byte{3, flags}, tid), to)
	if token != nil {
		b = append(b, token[:]...)
	}
	return compact.AppendBuffer(append(append(b, command), target[:]...), value)
}

// clientMessage makes the first message of a handshake.
func clientMessage(t testing.TB, key hypercrypto.PublicKey, p *payload) []byte {
	i, err := newInitiator(hypercrypto.NewKeyPair(), key, p)
	if err != nil {
		t.Fatal(err)
	}
	return i.message
}

// Ten thousand clients that never come back cost a bounded amount, and nothing
// once their time is over; a peer that means it still gets through.
func TestFloodOfHandshakesIsBounded(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		d := w.dhts[2]
		s := w.echo(d, nil)
		server, _ := d.sockets()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		highest := 0
		for i := range 10_000 {
			h := handshake{mode: fromClient, noise: clientMessage(w.t, s.PublicKey(), &payload{udx: &udxInfo{id: uint32(i)}, secret: true})}
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{70, byte(i >> 8), byte(i), 1}), 4000)
			d.receive(server, request(uint16(i), server.LocalAddr(), cmdHandshake, s.target, nil, h.appendTo(nil)), from)
			highest = max(highest, d.Status().HalfOpen)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if highest > 1024 || highest < 500 {
			w.t.Errorf("%d handshakes were half open", highest)
		}
		used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		w.t.Logf("%d half open, %d bytes each", highest, used/int64(highest))
		if used > 64<<20 {
			w.t.Errorf("the flood holds %d bytes", used)
		}
		time.Sleep(time.Minute)
		if st := d.Status(); st.HalfOpen != 0 || st.Conns != 0 {
			w.t.Errorf("after a minute: %+v", st)
		}
		c := w.connect(w.dhts[3], s, nil)
		w.check(c)
		c.Close()
	})
}

func TestOneAddressCannotTakeAllPlaces(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		d := w.dhts[2]
		s := w.echo(d, nil)
		server, _ := d.sockets()
		for i := range 400 {
			h := handshake{mode: fromClient, noise: clientMessage(w.t, s.PublicKey(), &payload{udx: &udxInfo{id: uint32(i)}, secret: true})}
			d.receive(server, request(uint16(i), server.LocalAddr(), cmdHandshake, s.target, nil, h.appendTo(nil)),
				netip.AddrPortFrom(netip.MustParseAddr("70.1.1.1"), uint16(1000+i)))
		}
		if n := d.Status().HalfOpen; n > 1024/halfOpenShare {
			w.t.Errorf("%d places for one address", n)
		}
		c := w.connect(w.dhts[3], s, nil)
		c.Close()
	})
}

// A message that comes again, by whatever way, is answered with the same bytes.
func TestSameHandshakeSameAnswer(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		d := w.dhts[2]
		s := w.echo(d, nil)
		server, _ := d.sockets()
		var answers [][]byte
		w.net.SetFilter(func(from, to netip.AddrPort, data []byte) bool {
			if to.Addr() == netip.MustParseAddr("70.1.1.1") && data[0] == 0x13 {
				answers = append(answers, bytes.Clone(data[42:]))
			}
			return true
		})
		h := handshake{mode: fromClient, noise: clientMessage(w.t, s.PublicKey(), &payload{udx: &udxInfo{id: 1}, secret: true})}
		from := netip.MustParseAddrPort("70.1.1.1:1000")
		for i := range 6 {
			d.receive(server, request(uint16(i), server.LocalAddr(), cmdHandshake, s.target, nil, h.appendTo(nil)), from)
			if i > 2 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Second)
		w.net.SetFilter(nil)
		if len(answers) != 6 {
			w.t.Fatalf("%d answers", len(answers))
		}
		for _, a := range answers[1:] {
			if !bytes.Equal(a, answers[0]) {
				w.t.Error("the answers differ")
			}
		}
		if n := d.Status().HalfOpen; n > 1 {
			w.t.Errorf("%d half open", n)
		}
	})
}

func TestVersionsThatAreUnknownAreAnswered(t *testing.T) {
	kp := hypercrypto.NewKeyPair()
	inWorld(t, 4, func(w *world) {
		d := w.dhts[2]
		s, err := d.Listen(w.t.Context(), kp, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		server, _ := d.sockets()
		for _, c := range []struct {
			payload []byte
			want    uint64
		}{{[]byte{2, 0xff, 0xff}, errorVersion}, {(&payload{secret: true}).appendTo(nil), errorAborted}} {
			i := &initiator{keyPair: hypercrypto.NewKeyPair(), remote: kp.Public, payload: c.payload}
			if err := i.begin(); err != nil {
				w.t.Fatal(err)
			}
			var answer []byte
			w.net.SetFilter(func(from, to netip.AddrPort, data []byte) bool {
				if to.Addr() == netip.MustParseAddr("70.1.1.1") {
					answer = bytes.Clone(data[42:])
				}
				return true
			})
			h := handshake{mode: fromClient, noise: i.message}
			d.receive(server, request(1, server.LocalAddr(), cmdHandshake, s.target, nil, h.appendTo(nil)), netip.MustParseAddrPort("70.1.1.1:1000"))
			time.Sleep(time.Second)
			w.net.SetFilter(nil)
			r := compact.NewReader(answer)
			out, err := decodeHandshake(r.Buffer())
			if err != nil {
				w.t.Fatal(err)
			}
			p, _, err := i.read(out.noise)
			if err != nil || p.err != c.want || p.udx == nil || p.udx.id != 0 {
				w.t.Errorf("answer %+v, %v", p, err)
			}
		}
		s.Close()
	})
}

func TestRefusedPeersGetNoAnswer(t *testing.T) {
	inWorld(t, 6, func(w *world) {
		friend := hypercrypto.NewKeyPair()
		s := w.echo(w.dhts[2], &ServerOptions{Allow: func(k hypercrypto.PublicKey, _ netip.AddrPort) bool { return k == friend.Public }})
		if _, err := w.dhts[3].Connect(w.t.Context(), s.PublicKey(), nil); !errors.Is(err, ErrConnectFailed) {
			w.t.Errorf("a stranger: %v", err)
		}
		c := w.connect(w.dhts[3], s, &ConnectOptions{KeyPair: friend})
		w.check(c)
		c.Close()
	})
}

func TestSuspendAndResume(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		s := w.echo(sd, nil)
		c := w.connect(cd, s, nil)
		w.check(c)
		if err := sd.Suspend(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if _, err := sd.Connect(w.t.Context(), s.PublicKey(), nil); !errors.Is(err, ErrSuspended) {
			w.t.Errorf("connect while suspended: %v", err)
		}
		if err := roundTrip(c, 100); err == nil {
			w.t.Error("the connection has survived")
		}
		c.Close()
		for range cd.FindPeer(w.t.Context(), s.PublicKey()) {
			w.t.Error("still announced")
		}
		time.Sleep(time.Hour)
		if err := sd.Resume(); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		c = w.connect(cd, s, nil)
		w.check(c)
		c.Close()
		if st := sd.Status(); st.Suspended || st.Nodes == 0 {
			w.t.Errorf("status %+v", st)
		}
	})
}

func TestServersFollowTheNetwork(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		a, b := w.home(1, simnet.Cone), w.home(2, simnet.Cone)
		host := a.Host(local(1, 10))
		sd, cd := w.node(host), w.node(b.Host(local(2, 10)))
		s := w.echo(sd, nil)
		w.connect(cd, s, nil).Close()
		c := w.home(3, simnet.Cone)
		host.Move(c.Segment, local(3, 10))
		time.Sleep(2 * time.Minute)
		conn := w.connect(cd, s, nil)
		w.check(conn)
		conn.Close()
	})
}

func TestListenAndClose(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		d := w.dhts[5]
		kp := hypercrypto.NewKeyPair()
		s, err := d.Listen(w.t.Context(), kp, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := d.Listen(w.t.Context(), kp, nil); !errors.Is(err, ErrKeyInUse) {
			w.t.Errorf("twice: %v", err)
		}
		found := 0
		for r, err := range w.dhts[6].FindPeer(w.t.Context(), kp.Public) {
			if err == nil && r.Peers[0].PublicKey == kp.Public {
				found++
			}
		}
		if found < announceRelays || len(s.RelayAddresses()) != maxRelays {
			t.Errorf("found at %d nodes, relays %v", found, s.RelayAddresses())
		}
		s.Close()
		if _, err := s.Accept(w.t.Context()); !errors.Is(err, ErrClosed) {
			w.t.Errorf("accept: %v", err)
		}
		for range w.dhts[6].FindPeer(w.t.Context(), kp.Public) {
			w.t.Error("still announced")
		}
		if _, err := w.dhts[6].Connect(w.t.Context(), kp.Public, nil); !errors.Is(err, ErrPeerNotFound) {
			w.t.Errorf("connect: %v", err)
		}
		if s, err = d.Listen(w.t.Context(), kp, nil); err != nil {
			w.t.Errorf("again: %v", err)
		}
		s.Close()
	})
}

// Whatever arrives at a listening node, it survives.
func FuzzNode(f *testing.F) {
	var v struct {
		Cases []struct{ Request struct{ Hex string } }
	}
	load(f, "net-dht-rpc.json", &v)
	for _, c := range v.Cases {
		f.Add(unhex(f, c.Request.Hex), byte(0), byte(0))
	}
	d, err := New(&Options{Bootstrap: []string{}, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Addr: netip.MustParseAddrPort("127.0.0.1:1"),
		Role: Persistent, Reach: Open})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	s, err := d.Listen(f.Context(), hypercrypto.KeyPairFromSeed([32]byte{1}), nil)
	if err != nil {
		f.Fatal(err)
	}
	server, _ := d.sockets()
	from := netip.MustParseAddrPort("127.0.0.1:9")
	for mode := range byte(5) {
		h := handshake{mode: uint64(mode), noise: clientMessage(f, s.PublicKey(), &payload{udx: &udxInfo{id: 1}}), peer: from}
		f.Add(h.appendTo(nil), byte(1), byte(cmdHandshake))
		p := holepunch{mode: uint64(mode), payload: make([]byte, 60), peer: from}
		f.Add(p.appendTo(nil), byte(1), byte(cmdHolepunch))
	}
	f.Fuzz(func(t *testing.T, b []byte, wrapped, command byte) {
		if wrapped&1 == 1 {
			target := s.target
			if wrapped&2 == 2 {
				target[0]++
			}
			var token *[32]byte
			if wrapped&4 == 4 {
				token = &[32]byte{}
			}
			b = request(1, server.LocalAddr(), command, target, token, b)
		}
		d.receive(server, b, from)
	})
}

// Every decoder gives back what its encoder wrote, and never panics.
func FuzzDecoders(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		b := make([]byte, r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Add((&payload{punch: &punchInfo{id: 3, relays: make([]relayPair, 2)}, udx: &udxInfo{id: 1}, secret: true, through: &relayThrough{}}).appendTo(nil))
	f.Add((&round{token: &[32]byte{}, remoteToken: &[32]byte{}, punching: true, addresses: make([]netip.AddrPort, 3)}).appendTo(nil))
	f.Add((&announcement{peer: &Peer{}, signature: &[64]byte{}, bump: 5, refresh: &[32]byte{}}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodePayload(b); err == nil && p.version == payloadVersion {
			one := p.appendTo(nil)
			again, err := decodePayload(one)
			if err != nil || !bytes.Equal(again.appendTo(nil), one) {
				t.Fatalf("payload %+v: %v", p, err)
			}
		}
		if p, err := decodeRound(b); err == nil {
			one := p.appendTo(nil)
			if again, err := decodeRound(one); err != nil || !bytes.Equal(again.appendTo(nil), one) {
				t.Fatalf("round %+v: %v", p, err)
			}
		}
		if p, err := decodeHandshake(b); err == nil {
			if again, err := decodeHandshake(p.appendTo(nil)); err != nil || again.mode != p.mode {
				t.Fatalf("handshake %+v: %v", p, err)
			}
		}
		if p, err := decodeHolepunch(b); err == nil {
			if again, err := decodeHolepunch(p.appendTo(nil)); err != nil || again.id != p.id {
				t.Fatalf("hole punch %+v: %v", p, err)
			}
		}
		if p, err := decodeAnnouncement(b); err == nil {
			one := p.appendTo(nil)
			if again, err := decodeAnnouncement(one); err != nil || !bytes.Equal(again.appendTo(nil), one) {
				t.Fatalf("announcement %+v: %v", p, err)
			}
		}
		_, _, _ = decodeLookup(b)
		r := compact.NewReader(b)
		if m := readMutable(&r); r.Err() == nil {
			again := compact.NewReader(m.appendTo(nil))
			if n := readMutable(&again); again.Err() != nil || n.seq != m.seq || n.signature != m.signature || !bytes.Equal(n.value, m.value) {
				t.Fatalf("mutable value %+v", m)
			}
		}
		if a, err := DecodeAddress(b); err == nil {
			if again, err := DecodeAddress(a.AppendTo(nil)); err != nil || again.PublicKey != a.PublicKey || len(again.Nodes) != len(a.Nodes) {
				t.Fatalf("address %+v: %v", a, err)
			}
		}
	})
}
