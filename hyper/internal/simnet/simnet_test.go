package simnet_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/simnet"
	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

var ip = netip.MustParseAddr

// end is a socket whose packets are collected.
type end struct {
	t    *testing.T
	conn udpio.Conn

	mu  sync.Mutex
	got []string // "from data"
}

func listen(t *testing.T, h *simnet.Host, port uint16) *end {
	t.Helper()
	c, err := h.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	e := &end{t: t, conn: c}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			ds, err := c.ReadBatch()
			if err != nil {
				return
			}
			e.mu.Lock()
			for _, d := range ds {
				e.got = append(e.got, fmt.Sprintf("%v %s", d.Addr, d.Data))
			}
			e.mu.Unlock()
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return e
}

func (e *end) send(to, data string) { e.sendTTL(to, data, 0) }

func (e *end) sendTTL(to, data string, ttl uint8) {
	e.conn.WriteBatch([]udpio.Datagram{{Data: []byte(data), Addr: netip.MustParseAddrPort(to), TTL: ttl}})
}

// take waits for everything to settle and returns what arrived.
func (e *end) take() string {
	time.Sleep(time.Minute)
	return e.now()
}

// now returns what has arrived.
func (e *end) now() string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	got := strings.Join(e.got, ", ")
	e.got = nil
	return got
}

func (e *end) expect(want string) {
	e.t.Helper()
	if got := e.take(); got != want {
		e.t.Errorf("got %q, want %q", got, want)
	}
}

// bubble runs f with a network in a bubble.
func bubble(t *testing.T, f func(t *testing.T, n *simnet.Network)) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		t.Cleanup(n.Close)
		f(t, n)
	})
}

func TestPacketsTakeTheDelayOfBothLines(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		a, b := n.Host(ip("1.0.0.1")), n.Host(ip("1.0.0.2"))
		a.SetLink(simnet.Link{Delay: 30 * time.Millisecond})
		b.SetLink(simnet.Link{Delay: 20 * time.Millisecond})
		x, y := listen(t, a, 1), listen(t, b, 2)
		x.send("1.0.0.2:2", "hi")
		time.Sleep(50*time.Millisecond - 1)
		if y.now() != "" {
			t.Error("too early")
		}
		time.Sleep(time.Nanosecond)
		if got := y.now(); got != "1.0.0.1:1 hi" {
			t.Errorf("got %q", got)
		}
	})
}

func TestConeLetsInWhomItSentTo(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		home := n.Router(ip("1.0.0.1"), simnet.Cone)
		in := listen(t, home.Host(ip("192.168.0.2")), 7)
		pub := n.Host(ip("1.0.0.9"))
		a, b := listen(t, pub, 1), listen(t, pub, 2)

		a.send("1.0.0.1:7", "unasked")
		in.expect("")
		in.send("1.0.0.9:1", "hello")
		a.expect("1.0.0.1:7 hello")
		b.send("1.0.0.1:7", "other port")
		a.send("1.0.0.1:7", "answer")
		in.expect("1.0.0.9:1 answer")
		in.send("1.0.0.9:2", "same port")
		b.expect("1.0.0.1:7 same port")
	})
}

func TestSymmetricUsesAPortPerRemote(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		home := n.Router(ip("1.0.0.1"), simnet.Symmetric)
		in := listen(t, home.Host(ip("192.168.0.2")), 7)
		pub := n.Host(ip("1.0.0.9"))
		a, b := listen(t, pub, 1), listen(t, pub, 2)
		in.send("1.0.0.9:1", "x")
		in.send("1.0.0.9:2", "x")
		fromA, fromB := a.take(), b.take()
		if fromA == "" || fromB == "" || fromA == fromB {
			t.Errorf("seen as %q and %q", fromA, fromB)
		}
		b.send(strings.Fields(fromA)[0], "crossed")
		in.expect("")
	})
}

func TestTwoConesMeetByPunching(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		x := listen(t, n.Router(ip("1.0.0.1"), simnet.Cone).Host(ip("192.168.0.2")), 5)
		y := listen(t, n.Router(ip("1.0.0.2"), simnet.Cone).Host(ip("192.168.0.2")), 6)
		x.send("1.0.0.2:6", "lost")
		y.expect("")
		y.send("1.0.0.1:5", "through")
		x.expect("1.0.0.2:6 through")
		x.send("1.0.0.2:6", "too")
		y.expect("1.0.0.1:5 too")
	})
}

func TestNoHairpinButTheLANIsDirect(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		home := n.Router(ip("1.0.0.1"), simnet.FullCone)
		x := listen(t, home.Host(ip("192.168.0.2")), 5)
		y := listen(t, home.Host(ip("192.168.0.3")), 6)
		y.send("9.9.9.9:1", "opens a mapping")
		x.send("1.0.0.1:6", "hairpin")
		y.expect("")
		x.send("192.168.0.3:6", "direct")
		y.expect("192.168.0.2:5 direct")
	})
}

func TestForwardedPortsAreOpen(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		home := n.Router(ip("1.0.0.1"), simnet.Cone)
		in := listen(t, home.Host(ip("192.168.0.2")), 7)
		home.Forward(70, netip.MustParseAddrPort("192.168.0.2:7"))
		out := listen(t, n.Host(ip("1.0.0.9")), 1)
		out.send("1.0.0.1:70", "knock")
		in.expect("1.0.0.9:1 knock")
		out.send("1.0.0.1:7", "knock")
		in.expect("")
		home.ForwardAll(ip("192.168.0.2"))
		out.send("1.0.0.1:7", "knock")
		in.expect("1.0.0.9:1 knock")
	})
}

func TestLimitedPacketsDieOnTheWay(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		home, away := n.Router(ip("1.0.0.1"), simnet.Cone), n.Router(ip("1.0.0.2"), simnet.FullCone)
		home.SetLink(simnet.Link{Hops: 3})
		away.SetLink(simnet.Link{Hops: 3})
		x, y := listen(t, home.Host(ip("192.168.0.2")), 5), listen(t, away.Host(ip("192.168.0.2")), 6)
		y.send("9.9.9.9:1", "opens a mapping")
		x.sendTTL("1.0.0.2:6", "opens", 5)
		y.expect("")
		y.send("1.0.0.1:5", "in")
		x.expect("1.0.0.2:6 in")
		x.sendTTL("1.0.0.2:6", "far", 9)
		y.expect("1.0.0.1:5 far")
	})
}

func TestMovingChangesTheAddress(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		h := n.Host(ip("1.0.0.1"), ip("1.0.0.11"))
		x, y := listen(t, h, 5), listen(t, n.Host(ip("1.0.0.2")), 6)
		y.send("1.0.0.11:5", "second address")
		x.expect("1.0.0.2:6 second address")
		h.Move(n.Router(ip("1.0.0.3"), simnet.Cone).Segment, ip("10.0.0.2"))
		y.send("1.0.0.1:5", "gone")
		x.expect("")
		x.send("1.0.0.2:6", "here")
		y.expect("1.0.0.3:5 here")
		y.send("1.0.0.3:5", "found")
		x.expect("1.0.0.2:6 found")
	})
}

func TestMTURateAndQueue(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		a := n.Host(ip("1.0.0.1"))
		x, y := listen(t, a, 1), listen(t, n.Host(ip("1.0.0.2")), 2)
		a.SetLink(simnet.Link{MTU: 1000})
		x.send("1.0.0.2:2", strings.Repeat("x", 973))
		y.expect("")
		x.send("1.0.0.2:2", strings.Repeat("x", 972))
		if y.take() == "" {
			t.Error("a packet of the size of the path is lost")
		}
		a.SetLink(simnet.Link{Rate: 1000, Queue: 500})
		start := time.Now()
		for range 10 {
			x.send("1.0.0.2:2", strings.Repeat("x", 72))
		}
		for got := 0; got < 5; {
			time.Sleep(time.Millisecond)
			if y.now() != "" {
				got++
			}
		}
		if d := time.Since(start); d < 500*time.Millisecond || d > 502*time.Millisecond {
			t.Errorf("five packets took %v", d)
		}
		y.expect("")
	})
}

func TestChanceComesFromTheSeed(t *testing.T) {
	run := func(seed uint64) (got []string) {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(seed)
			defer n.Close()
			a := n.Host(ip("1.0.0.1"))
			a.SetLink(simnet.Link{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: .3, Duplicate: .2, Reorder: .2})
			x, y := listen(t, a, 1), listen(t, n.Host(ip("1.0.0.2")), 2)
			for i := range 100 {
				x.send("1.0.0.2:2", fmt.Sprint(i))
			}
			got = []string{y.take()}
		})
		return got
	}
	if !slices.Equal(run(5), run(5)) {
		t.Error("the same seed gives different results")
	}
	if slices.Equal(run(5), run(6)) {
		t.Error("another seed gives the same results")
	}
}
