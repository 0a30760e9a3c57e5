package dhtrpc

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func randomID(r *rand.Rand) (id ID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

// Whatever is in the table, closest gives the nearest nodes in their order.
func TestClosestIsTheNearestInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		own := randomID(r)
		tab := newTable(own)
		var all []*peer
		for i := range rapid.IntRange(0, 300).Draw(t, "n") {
			id := randomID(r)
			for k := range rapid.IntRange(0, 20).Draw(t, "near") {
				id[k/8] = id[k/8]&^(0x80>>(k%8)) | own[k/8]&(0x80>>(k%8))
			}
			p := &peer{id: id, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)}
			if tab.add(p) {
				all = append(all, p)
			}
		}
		target := randomID(r)
		if rapid.Bool().Draw(t, "own") {
			target = own
		}
		slices.SortFunc(all, func(a, b *peer) int {
			if closer(&target, &a.id, &b.id) {
				return -1
			}
			return 1
		})
		got := tab.closest(nil, &target, K)
		if len(got) != min(K, len(all)) {
			t.Fatalf("%d nodes of %d", len(got), len(all))
		}
		for i, a := range got {
			if a != all[i].addr {
				t.Fatalf("node %d is %v instead of %v", i, a, all[i].addr)
			}
		}
		for _, p := range all {
			if !tab.remove(p) {
				t.Fatal("a node is gone")
			}
		}
		if tab.len() != 0 || tab.oldest != nil || tab.newest != nil {
			t.Fatal("the table is not empty")
		}
	})
}

func TestTokensLiveOneToTwoTurns(t *testing.T) {
	var s tokens
	now := time.Now()
	a, b := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.4")
	s.refresh(now)
	tok := s.make(now.Add(tokenTurn-1), a)
	for _, c := range []struct {
		after time.Duration
		addr  netip.Addr
		want  bool
	}{
		{0, a, true}, {0, b, false}, {tokenTurn - 1, a, true}, {tokenTurn, a, true}, {2*tokenTurn - 1, a, true}, {2 * tokenTurn, a, false},
		{time.Hour, a, false},
	} {
		s := s
		if got := s.valid(now.Add(c.after), c.addr, &tok); got != c.want {
			t.Errorf("after %v for %v: %v", c.after, c.addr, got)
		}
	}
}

func TestSamplerJudgesAsJavaScriptDoes(t *testing.T) {
	at := func(host byte, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, 1, host}), port)
	}
	for name, c := range map[string]struct {
		samples []netip.AddrPort
		want    netip.AddrPort
	}{
		"one":             {[]netip.AddrPort{at(1, 1)}, at(1, 1)},
		"two ports":       {[]netip.AddrPort{at(1, 1), at(1, 2)}, at(1, 0)},
		"two hosts":       {[]netip.AddrPort{at(1, 1), at(2, 1)}, netip.AddrPort{}},
		"one of four off": {[]netip.AddrPort{at(1, 1), at(2, 9), at(1, 1), at(1, 1)}, at(1, 1)},
		"all random":      {[]netip.AddrPort{at(1, 1), at(1, 2), at(1, 3), at(1, 4)}, at(1, 0)},
	} {
		var s sampler
		for _, a := range c.samples {
			s.add(a)
		}
		if s.addr != c.want {
			t.Errorf("%s: %v, want %v", name, s.addr, c.want)
		}
	}
}

func TestWindowBoundsWhatIsUnanswered(t *testing.T) {
	var w window
	now := time.Now()
	count := func() (n int) {
		for !w.full(now) {
			w.sent(now)
			n++
		}
		return n
	}
	if n := count(); n != windowSize {
		t.Fatalf("%d in the first slot", n)
	}
	now = now.Add(windowSlot)
	if n := count(); n != windowSize {
		t.Fatalf("%d in the second slot", n)
	}
	now = now.Add(windowSlot)
	if n := count(); n != 0 {
		t.Fatalf("%d in the third slot", n)
	}
	first := w.slot - 2
	for range 10 {
		w.answered(now, first)
	}
	if n := count(); n != 10 {
		t.Fatalf("%d after 10 answers", n)
	}
	now = now.Add(2 * windowSlot)
	w.answered(now, first) // too late to count
	if n := count(); n != 70 {
		t.Fatalf("%d when the first slot has left", n)
	}
	now = now.Add(time.Hour)
	if w.turn(now); w.total != 0 {
		t.Fatalf("%d after an hour", w.total)
	}
}

func TestLimiterBoundsOneAddress(t *testing.T) {
	l := newLimiter(10)
	now := time.Now()
	count := func(a string) (n int) {
		for range 1000 {
			if l.allow(now, netip.MustParseAddr(a)) {
				n++
			}
		}
		return n
	}
	if n := count("1.2.3.4"); n != 30 {
		t.Errorf("burst of %d", n)
	}
	if n := count("1.2.3.5"); n != 30 {
		t.Errorf("the other address has %d", n)
	}
	now = now.Add(time.Second)
	if n := count("1.2.3.4"); n != 10 {
		t.Errorf("%d in a second", n)
	}
	if n := count("127.0.0.1"); n != 1000 {
		t.Errorf("loopback has %d", n)
	}
	for i := range 100000 {
		l.allow(now, netip.AddrFrom4([4]byte{9, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(l.young) + len(l.old); n > 2*limiterSize {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestNodesFindTheNearest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nodes := w.network(t, 80)
		defer func() { closeAll(w, nodes...) }()
		client := w.start(t, "10.9.9.9", Options{Bootstrap: []string{"10.0.0.1:49737"}, Role: Ephemeral})
		nodes = append(nodes, client)
		r := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			target := randomID(r)
			q, err := find(t.Context(), client, target)
			if err != nil {
				t.Fatal(err)
			}
			var ids []ID
			for _, n := range nodes[:80] {
				ids = append(ids, n.Status().ID)
			}
			slices.SortFunc(ids, func(a, b ID) int {
				if closer(&target, &a, &b) {
					return -1
				}
				return 1
			})
			if len(q.Closest) != K {
				t.Fatalf("%d results", len(q.Closest))
			}
			for i, c := range q.Closest {
				if *c.ID != ids[i] {
					t.Errorf("result %d is not the nearest", i)
				}
			}
		}
		if s := client.Status(); s.Addr != netip.MustParseAddrPort("10.9.9.9:40000") && s.Addr != netip.MustParseAddrPort("10.9.9.9:49737") {
			t.Errorf("the client sees itself at %v", s.Addr)
		}
	})
}

func TestReachableNodesBecomePersistent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nodes := w.network(t, 10)
		defer func() { closeAll(w, nodes...) }()
		n := w.start(t, "10.9.9.9", Options{Bootstrap: []string{"10.0.0.1:49737"}})
		nodes = append(nodes, n)
		time.Sleep(19 * time.Minute)
		if s := n.Status(); !s.Ephemeral {
			t.Error("persistent too early")
		}
		time.Sleep(2 * time.Minute)
		if s := n.Status(); s.Ephemeral || s.Firewalled || s.ID != NodeID(netip.MustParseAddrPort("10.9.9.9:49737")) {
			t.Errorf("after 21 minutes: %+v", s)
		}
		if a, ok := n.PublicAddr(); !ok || a.Port() != 49737 {
			t.Errorf("public address %v %v", a, ok)
		}
	})
}

func TestUnreachableNodesStayClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nodes := w.network(t, 10)
		defer func() { closeAll(w, nodes...) }()
		n := New(Options{Bootstrap: []string{"10.0.0.1:49737"}})
		server := w.socket("10.9.9.9", 49737, n)
		w.mu.Lock()
		w.dead[server.addr] = true
		w.mu.Unlock()
		n.Start(server, w.socket("10.9.9.9", 40000, n))
		nodes = append(nodes, n)
		time.Sleep(2 * time.Hour)
		if s := n.Status(); !s.Ephemeral || !s.Firewalled || !s.Online {
			t.Errorf("status %+v", s)
		}
	})
}

func TestDeadNodesLeaveTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nodes := w.network(t, 20)
		defer func() { closeAll(w, nodes...) }()
		time.Sleep(time.Hour)
		gone := nodes[7]
		w.mu.Lock()
		w.dead[gone.Status().Addr] = true
		w.mu.Unlock()
		time.Sleep(time.Hour)
		for i, n := range nodes {
			if slices.Contains(n.Nodes(), gone.Status().Addr) {
				t.Errorf("node %d still knows it", i)
			}
		}
		if s := gone.Status(); s.Online || s.Nodes != 0 {
			t.Errorf("the node that is cut off: %+v", s)
		}
	})
}

func TestRequestsEndWithTimeoutContextAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		n := w.start(t, "10.0.0.1", Options{Role: Ephemeral})
		defer closeAll(w, n)
		nobody := netip.MustParseAddrPort("10.0.0.99:1")
		start := time.Now()
		if _, err := n.Ping(t.Context(), nobody); !errors.Is(err, ErrTimeout) || time.Since(start) != 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := n.Ping(ctx, nobody); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		go func() { time.Sleep(time.Second); n.Suspend() }()
		if _, err := n.Ping(t.Context(), nobody); !errors.Is(err, ErrSuspended) {
			t.Error(err)
		}
		if _, err := n.Ping(t.Context(), nobody); !errors.Is(err, ErrSuspended) {
			t.Error(err)
		}
		n.Resume(n.server, n.client)
		go func() { time.Sleep(time.Second); n.Close() }()
		if _, err := n.Ping(t.Context(), nobody); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := n.Ping(t.Context(), nobody); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if len(n.calls) != 0 {
			t.Errorf("%d calls are left", len(n.calls))
		}
	})
}

// An answer from another address than the one that was asked is no answer.
func TestForgedAnswersAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		n := w.start(t, "10.0.0.1", Options{Role: Ephemeral})
		defer closeAll(w, n)
		go func() {
			time.Sleep(500 * time.Millisecond)
			for tid := range 1 << 16 {
				m := message{response: true, tid: uint16(tid), to: n.server.LocalAddr()}
				n.HandlePacket(n.server, m.appendTo(nil), netip.MustParseAddrPort("10.6.6.6:6"))
			}
		}()
		if _, err := n.Ping(t.Context(), netip.MustParseAddrPort("10.0.0.99:1")); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if n.Status().Addr.IsValid() {
			t.Error("the forged answers were counted as samples")
		}
	})
}

func TestManyRequestsAreServedWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nodes := w.network(t, 2)
		defer func() { closeAll(w, nodes...) }()
		results := make(chan error, 2000)
		for range cap(results) {
			go func() {
				_, err := nodes[1].Ping(t.Context(), netip.MustParseAddrPort("10.0.0.1:49737"))
				results <- err
			}()
		}
		for range cap(results) {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzPacket(f *testing.F) {
	for _, h := range vectorPackets(f) {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if m.decode(b) != nil {
			return
		}
		var again message
		if err := again.decode(m.appendTo(nil)); err != nil {
			t.Fatalf("own encoding: %v", err)
		}
		if again.tid != m.tid || again.to != m.to || again.code != m.code || string(again.value) != string(m.value) || len(again.closer) != len(m.closer) {
			t.Fatal("the encoding has lost something")
		}
	})
}

// A node survives anything that arrives.
func FuzzHostilePackets(f *testing.F) {
	for _, h := range vectorPackets(f) {
		f.Add(h, uint16(40000))
	}
	w := newWire()
	n := New(Options{Role: Persistent, Reach: Open, Addr: netip.MustParseAddrPort("10.0.0.1:49737")})
	s := w.socket("10.0.0.1", 49737, n)
	n.mu.Lock()
	n.server, n.client = s, s
	n.mu.Unlock()
	for i := range 40 {
		n.AddNode(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 49737))
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		n.HandlePacket(s, b, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(port >> 8), byte(port)}), port))
	})
}
