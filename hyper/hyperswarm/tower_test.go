package hyperswarm

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/internal/simnet"
)

// tower is a simulated network with a DHT, for swarms on real DHT nodes.
type tower struct {
	t    *testing.T
	net  *simnet.Network
	boot string
	dhts []*hyperdht.DHT
	all  []*resident
}

// resident is a swarm with the whole stack below it.
type resident struct {
	*Swarm

	mu    sync.Mutex
	heard map[hypercrypto.PublicKey]string // first words, by key
}

// inTower runs f on a network of count public DHT nodes under a fake clock.
func inTower(t *testing.T, count int, f func(w *tower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &tower{t: t, net: simnet.New(1)}
		defer func() {
			var wg sync.WaitGroup
			for _, r := range w.all {
				wg.Go(func() { r.Close() })
			}
			wg.Wait()
			for _, d := range w.dhts {
				d.Close()
			}
			w.net.Close()
		}()
		for i := range count {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{50, 1, 0, byte(1 + i)}), 49737)
			w.public(a)
		}
		f(w)
	})
}

// public starts a persistent node; the first is the bootstrap node.
func (w *tower) public(a netip.AddrPort) {
	w.t.Helper()
	h := w.net.Host(a.Addr())
	h.SetLink(simnet.Link{Delay: 5 * time.Millisecond})
	o := &hyperdht.Options{Listen: netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()), Transport: h.Listen, LocalAddrs: h.Addrs}
	var d *hyperdht.DHT
	var err error
	if w.boot == "" {
		w.boot = a.String()
		d, err = hyperdht.NewBootstrapper(a, o)
	} else {
		o.Bootstrap, o.Role, o.Reach = []string{w.boot}, hyperdht.Persistent, hyperdht.Open
		d, err = hyperdht.New(o)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.dhts = append(w.dhts, d)
	if err := d.Ready(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// resident starts a swarm on a host, whose members greet each other.
func (w *tower) resident(h *simnet.Host, kp *hypercrypto.KeyPair, o Options) *resident {
	h.SetLink(simnet.Link{Delay: 5 * time.Millisecond})
	r := &resident{heard: make(map[hypercrypto.PublicKey]string)}
	o.KeyPair = kp
	o.Open = func(changed func()) (*hyperdht.DHT, error) {
		return hyperdht.New(&hyperdht.Options{Bootstrap: []string{w.boot}, Transport: h.Listen, LocalAddrs: h.Addrs, Changed: changed})
	}
	r.Swarm = New(r.greet, &o)
	w.all = append(w.all, r)
	return r
}

func (r *resident) greet(ctx context.Context, c *Conn) {
	c.Write([]byte("hello from " + r.KeyPair().Public.String()))
	for {
		m, err := c.ReadFrame()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.heard[c.RemotePublicKey()] = string(m)
		r.mu.Unlock()
	}
}

// join has a resident join a topic.
func (r *resident) join(t *testing.T, topic Topic, mode Mode) {
	t.Helper()
	if _, err := r.Join(topic, &JoinOptions{Mode: mode}); err != nil {
		t.Fatal(err)
	}
}

// met tells whether two residents share one connection and have heard each other.
func met(a, b *resident) bool {
	ab, ba := a.Connection(b.KeyPair().Public), b.Connection(a.KeyPair().Public)
	if ab == nil || ba == nil || ab.HandshakeHash() != ba.HandshakeHash() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard[b.KeyPair().Public] == "hello from "+b.KeyPair().Public.String()
}

// until waits for something that shall be true at last.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3600 {
		if ok() {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("after an hour: not %s", what)
}

func homeAddr(net, host byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, net, host}) }

// Ten swarms in all sorts of places find each other by a topic.
func TestSwarmsBehindNATsMeet(t *testing.T) {
	inTower(t, 10, func(w *tower) {
		var hosts []*simnet.Host
		for i, nat := range []simnet.NAT{simnet.Cone, simnet.Cone, simnet.Cone, simnet.Cone, simnet.FullCone, simnet.Symmetric} {
			i := byte(i)
			home := w.net.Router(netip.AddrFrom4([4]byte{60, 1, 1, i + 1}), nat)
			hosts = append(hosts, home.Host(homeAddr(i, 10)))
			if i == 0 {
				hosts = append(hosts, home.Host(homeAddr(i, 11))) // in the same network
			}
		}
		for i := range byte(3) {
			hosts = append(hosts, w.net.Host(netip.AddrFrom4([4]byte{70, 1, 1, i + 1})))
		}
		var all []*resident
		for i, h := range hosts {
			r := w.resident(h, keyPair(i), Options{})
			r.join(t, topicA, Both)
			all = append(all, r)
			time.Sleep(time.Second) // or they would look before anybody is there
		}
		for i, a := range all {
			for j, b := range all[i+1:] {
				until(t, fmt.Sprintf("met: %d and %d", i, i+1+j), func() bool { return met(a, b) })
			}
		}
		kinds := make(map[hyperdht.Path]int)
		for _, r := range all {
			for _, c := range r.Connections() {
				kinds[c.Path().Kind]++
			}
		}
		t.Logf("paths: %v", kinds)
		if kinds[hyperdht.PathPunched] == 0 || kinds[hyperdht.PathDirect] == 0 {
			t.Errorf("paths: %v", kinds)
		}
		if c := all[0].Connection(all[1].KeyPair().Public); c.Path().Kind != hyperdht.PathLAN {
			t.Errorf("two in one network go by %v", c.Path())
		}
	})
}

// relay runs a relay on one of the public nodes.
func (w *tower) relay(d *hyperdht.DHT) hypercrypto.PublicKey {
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

// Two networks whose ports nobody can guess need a relay, and use it by
// themselves when punching has failed.
func TestSwarmsFallBackToARelay(t *testing.T) {
	for _, only := range []bool{false, true} {
		nat := simnet.Symmetric
		if only {
			nat = simnet.FullCone // direct would be easy
		}
		inTower(t, 8, func(w *tower) {
			key := w.relay(w.dhts[4])
			o := Options{Relays: func() ([]hypercrypto.PublicKey, bool) { return []hypercrypto.PublicKey{key}, only }}
			var all []*resident
			for i := range byte(2) {
				home := w.net.Router(netip.AddrFrom4([4]byte{60, 1, 1, i + 1}), nat)
				r := w.resident(home.Host(homeAddr(i, 10)), keyPair(int(i)), o)
				r.join(t, topicA, Both)
				time.Sleep(5 * time.Second)
				all = append(all, r)
			}
			until(t, "met", func() bool { return met(all[0], all[1]) })
			time.Sleep(time.Minute)
			for _, r := range all {
				for _, c := range r.Connections() {
					if p := c.Path(); p.Kind != hyperdht.PathRelayed {
						t.Errorf("only %v: the path is %v by %v", only, p.Kind, p.Remote)
					}
				}
			}
			if !met(all[0], all[1]) {
				t.Error("the connection is lost")
			}
		})
	}
}

// A machine that is carried from one network into another goes on talking by the
// same connection.
func TestSwarmSurvivesAnotherNetwork(t *testing.T) {
	inTower(t, 8, func(w *tower) {
		one := w.net.Router(netip.MustParseAddr("60.1.1.1"), simnet.Cone)
		two := w.net.Router(netip.MustParseAddr("60.1.1.2"), simnet.Cone)
		stays := w.resident(w.net.Router(netip.MustParseAddr("60.1.1.3"), simnet.Cone).Host(homeAddr(3, 10)), keyPair(1), Options{})
		h := one.Host(homeAddr(1, 10))
		moves := w.resident(h, keyPair(2), Options{})
		stays.join(t, topicA, Both)
		time.Sleep(5 * time.Second)
		moves.join(t, topicA, Both)
		until(t, "met", func() bool { return met(stays, moves) })
		for i, to := range []*simnet.Router{two, one} {
			time.Sleep(30 * time.Second)
			before := stays.Connection(moves.KeyPair().Public)
			h.Move(to.Segment, homeAddr(2, byte(77+i)))
			began, word := time.Now(), fmt.Sprint("still there ", i)
			if _, err := before.Write([]byte(word)); err != nil {
				t.Fatal(err)
			}
			until(t, "heard", func() bool {
				moves.mu.Lock()
				defer moves.mu.Unlock()
				return moves.heard[stays.KeyPair().Public] == word
			})
			if took := time.Since(began); took > 15*time.Second || stays.Connection(moves.KeyPair().Public) != before {
				t.Errorf("heard after %v, same connection: %v", took, stays.Connection(moves.KeyPair().Public) == before)
			}
			t.Logf("heard after %v", time.Since(began))
		}
	})
}

// A peer that dies without a word and comes back takes the place of what it left.
func TestRestartedSwarmIsBackAtOnce(t *testing.T) {
	for _, largeRestarts := range []bool{false, true} {
		inTower(t, 8, func(w *tower) {
			stays, restarts := orderedPairs(1)
			if !largeRestarts {
				stays, restarts = restarts, stays
			}
			home := w.net.Router(netip.MustParseAddr("60.1.1.1"), simnet.Cone)
			h := home.Host(homeAddr(1, 10))
			a := w.resident(w.net.Host(netip.MustParseAddr("70.1.1.1")), stays, Options{})
			b := w.resident(h, restarts, Options{})
			a.join(t, topicA, ServerOnly)
			time.Sleep(5 * time.Second)
			b.join(t, topicA, ClientOnly)
			until(t, "met", func() bool { return met(a, b) })
			time.Sleep(20 * time.Second)
			// It vanishes, and another process of the same person comes up in its place.
			h.Move(w.net.Router(netip.MustParseAddr("60.1.1.9"), simnet.Cone).Segment, homeAddr(9, 9))
			h.SetLink(simnet.Link{Loss: 1})
			next := w.resident(home.Host(homeAddr(1, 11)), restarts, Options{})
			began := time.Now()
			next.join(t, topicA, ClientOnly)
			until(t, "met", func() bool { return met(a, next) })
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the old connection was in the way for %v", took)
			}
		})
	}
}
