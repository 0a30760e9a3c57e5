package hyperdht

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/simnet"
)

// pair is a server and a client behind a NAT each.
func (w *world) pair(server, client simnet.NAT) (s, c *DHT) {
	a, b := w.home(1, server), w.home(2, client)
	return w.node(a.Host(local(1, 10))), w.node(b.Host(local(2, 10)))
}

func TestNodesKnowTheirNAT(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		s, c := w.pair(simnet.Cone, simnet.Symmetric)
		if st := s.Status(); st.NAT != NATConsistent || st.Address.Addr() != netip.MustParseAddr("60.1.1.1") || st.Persistent {
			w.t.Errorf("cone: %+v", st)
		}
		if st := c.Status(); st.NAT != NATRandom || st.Address != netip.MustParseAddrPort("60.1.1.2:0") {
			w.t.Errorf("symmetric: %+v", st)
		}
		if st := w.dhts[5].Status(); st.NAT != NATOpen || !st.Persistent || !st.Online {
			w.t.Errorf("public: %+v", st)
		}
	})
}

func TestHolesArePunched(t *testing.T) {
	portRestricted := simnet.NAT{Filtering: simnet.AddressAndPortDependent, RandomPorts: true}
	for _, c := range []struct {
		name           string
		server, client simnet.NAT
		limit          time.Duration
	}{
		{"cone cone", simnet.Cone, simnet.Cone, time.Second},
		{"full cone", simnet.FullCone, simnet.FullCone, time.Second},
		{"other ports", portRestricted, portRestricted, time.Second},
		{"cone symmetric", simnet.Cone, simnet.Symmetric, 36 * time.Second},
		{"symmetric cone", simnet.Symmetric, simnet.Cone, 36 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 12, func(w *world) {
				sd, cd := w.pair(c.server, c.client)
				s := w.echo(sd, nil)
				conn := w.connect(cd, s, nil)
				if w.took > c.limit {
					w.t.Errorf("it took %v", w.took)
				}
				w.check(conn)
				time.Sleep(2 * time.Minute)
				w.check(conn)
				conn.Close()
			})
		})
	}
}

// Who comes back soon goes through the hole that is still open, in either
// direction and without the network's help.
func TestOpenHolesAreUsedAgain(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		s, back := w.echo(sd, nil), w.echo(cd, &ServerOptions{})
		c, err := cd.Connect(w.t.Context(), s.PublicKey(), &ConnectOptions{KeyPair: back.own.keyPair})
		if err != nil {
			w.t.Fatal(err)
		}
		w.check(c)
		c.Close()
		time.Sleep(time.Minute)
		for _, d := range []struct {
			from *DHT
			to   *Server
		}{{cd, s}, {sd, back}} {
			start := time.Now()
			c := w.connect(d.from, d.to, nil)
			if took := time.Since(start); took > 50*time.Millisecond || c.Path() != PathPunched {
				w.t.Errorf("%v after %v", c.Path(), took)
			}
			w.check(c)
			c.Close()
		}
		// A router that has forgotten is no obstacle.
		for _, r := range w.homes {
			r.Restart()
			c := w.connect(cd, s, nil)
			w.check(c)
			c.Close()
		}
	})
}

// Streams beside a connection take its path, whoever begins to send.
func TestRawStreamsTakeThePathOfTheConnection(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		s, err := sd.Listen(w.t.Context(), hypercrypto.NewKeyPair(), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		a := w.connect(cd, s, nil)
		b, err := s.Accept(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		x, errX := a.NewRawStream()
		y, errY := b.NewRawStream()
		if errX != nil || errY != nil {
			w.t.Fatal(errX, errY)
		}
		if err := a.ConnectRaw(x, y.ID()); err != nil {
			w.t.Fatal(err)
		}
		data := bytes.Repeat([]byte{5}, 100_000)
		go func() {
			_, _ = x.Write(data)
			_ = x.CloseWrite()
		}()
		time.Sleep(100 * time.Millisecond) // some of it comes before y is connected
		start := time.Now()
		if err := b.ConnectRaw(y, x.ID()); err != nil {
			w.t.Fatal(err)
		}
		got, err := io.ReadAll(y)
		if err != nil || !bytes.Equal(got, data) {
			w.t.Fatalf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			w.t.Errorf("what came early was lost: %v", took)
		}
		y.Close()
		x.Close()
		a.Close()
		b.Close()
	})
}

func TestTwoSymmetricNATsNeedARelay(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Symmetric, simnet.Symmetric)
		s := w.echo(sd, nil)
		start := time.Now()
		if _, err := cd.Connect(w.t.Context(), s.PublicKey(), nil); !errors.Is(err, ErrHolepunch) {
			w.t.Errorf("error %v", err)
		}
		w.t.Logf("failed after %v", time.Since(start))
		key := w.relay(w.dhts[4])
		conn := w.connect(cd, s, &ConnectOptions{RelayThrough: &key})
		if conn.Path() != PathRelayed {
			w.t.Errorf("path %v", conn.Path())
		}
		w.check(conn)
		time.Sleep(time.Minute)
		w.check(conn)
		conn.Close()
	})
}

// relay runs a blind relay and returns its key.
func (w *world) relay(d *DHT) hypercrypto.PublicKey {
	w.t.Helper()
	s, err := d.Listen(w.t.Context(), hypercrypto.NewKeyPair(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r := d.NewRelay(nil)
	go func() {
		for {
			c, err := s.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				key := c.RemotePublicKey()
				_ = r.Serve(context.Background(), c, key[:])
			}()
		}
	}()
	return s.PublicKey()
}

func TestRelayedConnectionsBecomeDirect(t *testing.T) {
	for _, byServer := range []bool{false, true} {
		inWorld(t, 12, func(w *world) {
			sd, cd := w.pair(simnet.Cone, simnet.Symmetric)
			key := w.relay(w.dhts[4])
			var so ServerOptions
			var co ConnectOptions
			if byServer {
				so.RelayThrough = &key
			} else {
				co.RelayThrough = &key
			}
			s := w.echo(sd, &so)
			conn := w.becomesDirect(cd, s, &co)
			w.check(conn)
			time.Sleep(5 * time.Second)
			if st := w.dhts[4].Status(); st.Conns != 0 {
				w.t.Errorf("the relay has %d connections", st.Conns)
			}
			w.check(conn)
			conn.Close()
		})
	}
}

// becomesDirect connects, and waits until the connection has left the relay. Ports are
// guessed, as in punch.
func (w *world) becomesDirect(d *DHT, s *Server, o *ConnectOptions) *Conn {
	w.t.Helper()
	for tries := 1; ; tries++ {
		conn := w.connect(d, s, o)
		start := time.Now()
		for conn.Path() == PathRelayed && time.Since(start) < time.Minute {
			changed := conn.PathChanged()
			w.check(conn)
			select {
			case <-changed:
			case <-time.After(time.Second):
			}
		}
		w.t.Logf("%v after %v", conn.Path(), time.Since(start))
		if conn.Path() != PathRelayed {
			return conn
		}
		if tries == 3 {
			w.t.Fatal("still relayed")
		}
		conn.Close()
		time.Sleep(time.Minute) // random punches have to wait for one another
	}
}

func TestOnlyRelayTellsAndTriesNothingElse(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		key := w.relay(w.dhts[4])
		s := w.echo(sd, &ServerOptions{})
		conn := w.connect(cd, s, &ConnectOptions{RelayThrough: &key, OnlyRelay: true})
		w.check(conn)
		time.Sleep(time.Minute)
		if conn.Path() != PathRelayed {
			w.t.Errorf("path %v", conn.Path())
		}
		conn.Close()
		hidden := w.echo(sd, &ServerOptions{RelayThrough: &key, OnlyRelay: true})
		conn = w.connect(cd, hidden, nil)
		w.check(conn)
		time.Sleep(time.Minute)
		if conn.Path() != PathRelayed {
			w.t.Errorf("path %v", conn.Path())
		}
		w.check(conn)
		conn.Close()
	})
}

func TestPeersOnOneNetworkConnectThere(t *testing.T) {
	for _, nat := range []simnet.NAT{simnet.Cone, simnet.Symmetric} {
		inWorld(t, 12, func(w *world) {
			home := w.home(1, nat)
			sd, cd := w.node(home.Host(local(1, 10))), w.node(home.Host(local(1, 11)))
			s := w.echo(sd, nil)
			conn := w.connect(cd, s, nil)
			if conn.Path() != PathLAN || conn.RemoteAddrPort().Addr() != local(1, 10) {
				w.t.Errorf("%v to %v", conn.Path(), conn.RemoteAddrPort())
			}
			w.check(conn)
			conn.Close()
			if _, err := cd.Connect(w.t.Context(), s.PublicKey(), &ConnectOptions{NoLAN: true}); err == nil {
				w.t.Error("connected without the local network and without hairpin")
			}
		})
	}
}

func TestForwardedPortsMakeOpenNodes(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		a, b := w.home(1, simnet.Cone), w.home(2, simnet.Cone)
		a.Forward(49737, netip.AddrPortFrom(local(1, 10), 49737))
		open, closed := w.node(a.Host(local(1, 10))), w.node(b.Host(local(2, 10)))
		if st := open.Status(); st.NAT != NATOpen {
			w.t.Errorf("status %+v", st)
		}
		for _, d := range [][2]*DHT{{open, closed}, {closed, open}} {
			conn := w.connect(d[1], w.echo(d[0], nil), nil)
			if conn.Path() != PathDirect {
				w.t.Errorf("path %v", conn.Path())
			}
			w.check(conn)
			conn.Close()
		}
	})
}

func TestConnectByAddressNeedsNoNetwork(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		home := w.home(1, simnet.Cone)
		sh, ch := home.Host(local(1, 10)), home.Host(local(1, 11))
		sd, err := New(&Options{Bootstrap: []string{}, Transport: sh.Listen, LocalAddrs: sh.Addrs})
		w.started(sd, err)
		cd, err := New(&Options{Bootstrap: []string{}, Transport: ch.Listen, LocalAddrs: ch.Addrs})
		w.started(cd, err)
		s := w.echo(sd, nil)
		conn := w.connect(cd, s, &ConnectOptions{RelayAddresses: sd.LocalAddrs()})
		w.check(conn)
		conn.Close()
		// The address is remembered.
		conn = w.connect(cd, s, nil)
		w.check(conn)
		conn.Close()
	})
}

// A connection outlives a new address of one side if the other side can be
// reached there: the server has a public address, and the client's router gets
// another one or forgets what it knew.
func TestConnectionsSurviveANewAddress(t *testing.T) {
	inWorld(t, 8, func(w *world) {
		home := w.home(2, simnet.Cone)
		s := w.echo(w.node(w.net.Host(netip.MustParseAddr("70.1.1.1"))), nil)
		conn := w.connect(w.node(home.Host(local(2, 10))), s, nil)
		w.check(conn)
		for _, change := range []func(){home.Restart, func() { home.SetOuter(netip.MustParseAddr("60.1.1.77")) }} {
			change()
			start := time.Now()
			w.check(conn)
			w.t.Logf("on after %v", time.Since(start))
		}
		conn.Close()
	})
}

// Behind two routers that let in answers only, a live stream gets a new hole
// when one of them has another address, whatever is said and by whom.
func TestLiveStreamsArePunchedAnew(t *testing.T) {
	kept := simnet.NAT{Filtering: simnet.AddressAndPortDependent, RandomPorts: true}
	for name, nat := range map[string]simnet.NAT{"cone": simnet.Cone, "other ports": kept} {
		for _, mover := range []string{"client", "server", "server's router forgets"} {
			for _, speaker := range []string{"client", "server"} {
				t.Run(name+" "+mover+" "+speaker+" speaks", func(t *testing.T) {
					inWorld(t, 12, func(w *world) {
						a, b := w.home(1, nat), w.home(2, nat)
						s, err := w.node(a.Host(local(1, 10))).Listen(w.t.Context(), hypercrypto.NewKeyPair(), nil)
						if err != nil {
							w.t.Fatal(err)
						}
						writer := w.connect(w.node(b.Host(local(2, 10))), s, nil)
						reader, err := s.Accept(w.t.Context())
						if err != nil {
							w.t.Fatal(err)
						}
						defer writer.Close()
						defer reader.Close()
						if speaker == "server" {
							writer, reader = reader, writer
						}
						say := func() time.Duration {
							start := time.Now()
							want := bytes.Repeat([]byte{9}, 300_000)
							go func() { _, _ = writer.Write(want) }()
							got := make([]byte, len(want))
							if _, err := io.ReadFull(reader, got); err != nil {
								w.t.Fatalf("after %v: %v", time.Since(start), err)
							}
							return time.Since(start)
						}
						say()
						for i := range byte(2) {
							time.Sleep(30 * time.Second)
							switch mover {
							case "client":
								b.SetOuter(netip.AddrFrom4([4]byte{60, 1, 2, i}))
							case "server":
								a.SetOuter(netip.AddrFrom4([4]byte{60, 1, 3, i}))
							default:
								a.Restart()
							}
							took := say()
							w.t.Logf("on after %v", took)
							if took > 15*time.Second {
								w.t.Errorf("on only after %v", took)
							}
						}
					})
				})
			}
		}
	}
}

// What a relay has passed on before a connection was made, and sends again later,
// gets the same answer and starts nothing.
func TestReplaysOnALiveConnectionStartNothing(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		type sent struct {
			from netip.AddrPort
			data []byte
		}
		outer, inner := netip.MustParseAddr("60.1.1.1"), local(1, 10)
		var mu sync.Mutex
		var toServer []sent
		var punches []netip.AddrPort
		w.net.SetFilter(func(from, to netip.AddrPort, data []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case data[0] == 3 && to.Addr() == outer:
				toServer = append(toServer, sent{from, bytes.Clone(data)})
			case from.Addr() == inner && len(data) == 1:
				punches = append(punches, to)
			}
			return true
		})
		conn := w.connect(cd, w.echo(sd, nil), nil)
		w.check(conn)
		mu.Lock()
		recorded := slices.Clone(toServer)
		mu.Unlock()
		time.Sleep(time.Minute)
		server, _ := sd.sockets()
		for range 3 {
			time.Sleep(3 * time.Second) // between two signs of life
			mu.Lock()
			punches = nil
			mu.Unlock()
			for _, p := range recorded {
				sd.receive(server, p.data, p.from)
			}
			time.Sleep(2 * time.Second)
			mu.Lock()
			if len(punches) > 0 {
				w.t.Errorf("punches to %v", punches)
			}
			mu.Unlock()
		}
		if st := sd.Status(); st.HalfOpen != 0 || st.Conns != 1 || len(recorded) < 2 {
			w.t.Errorf("%+v after %d packets", st, len(recorded))
		}
		w.net.SetFilter(nil)
		w.check(conn)
		conn.Close()
		time.Sleep(time.Minute)
		s := sd.serversLocked()[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forgetOldLocked(time.Now())
		if len(s.incoming) != 0 || len(s.slots) != 0 {
			w.t.Errorf("%d handshakes and %d slots are left", len(s.incoming), len(s.slots))
		}
	})
}

// A relay that changes what it passes on ends the connection; nobody reads what
// the other side did not write.
func TestARelayThatLiesEndsTheConnection(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Symmetric, simnet.Symmetric)
		key := w.relay(w.dhts[4])
		conn := w.connect(cd, w.echo(sd, nil), &ConnectOptions{RelayThrough: &key})
		w.check(conn)
		relay := conn.RemoteAddrPort().Addr()
		count := 0
		w.net.SetFilter(func(from, _ netip.AddrPort, data []byte) bool {
			if from.Addr() == relay && len(data) > 500 {
				if count++; count%7 == 0 {
					data[400] ^= 1
				}
			}
			return true
		})
		if err := roundTrip(conn, 200_000); err == nil || err.Error() == "the echo is not the same" {
			w.t.Errorf("changed packets: %v", err)
		}
		select {
		case <-conn.Done():
		case <-time.After(time.Minute):
			w.t.Error("the connection is still open")
		}
		w.net.SetFilter(nil)
		conn.Close()
		conn = w.connect(cd, w.echo(sd, nil), &ConnectOptions{RelayThrough: &key})
		w.check(conn)
		conn.Close()
	})
}
