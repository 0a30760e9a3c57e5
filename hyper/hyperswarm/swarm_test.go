package hyperswarm

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

var topicA, topicB = Topic{1}, Topic{2}

func mustJoin(t *testing.T, m *member, topic Topic, opts *JoinOptions) *Session {
	t.Helper()
	s, err := m.Join(topic, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func flushed(t *testing.T, m *member) {
	t.Helper()
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// mesh checks that each pair of members shares exactly one connection.
func mesh(t *testing.T, all []*member) {
	t.Helper()
	for i, a := range all {
		if n := len(a.Connections()); n != len(all)-1 {
			t.Errorf("member %d has %d connections, want %d", i, n, len(all)-1)
		}
		for _, b := range all[i+1:] {
			ab, ba := a.to(b.key()), b.to(a.key())
			if ab == nil || ba == nil || ab.HandshakeHash() != ba.HandshakeHash() {
				t.Errorf("member %d and %s do not share a connection", i, b.key())
			}
		}
		a.mu.Lock()
		if a.most > 1 {
			t.Errorf("member %d ran %d handlers for one key at a time", i, a.most)
		}
		a.mu.Unlock()
	}
}

func TestSwarmsFindEachOtherByTopic(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			var all []*member
			for i := range 10 {
				m := w.join(t, keyPair(i), Options{})
				mustJoin(t, m, topicA, nil)
				all = append(all, m)
			}
			time.Sleep(time.Minute)
			// Those that looked before the others had announced were found by them.
			mesh(t, all)
			if w.parallel() > defaultParallel {
				t.Errorf("%d attempts at a time", w.parallel())
			}
			for _, c := range all[3].Connections() {
				if got := c.Topics(); c.IsInitiator() && (len(got) != 1 || got[0] != topicA) {
					t.Errorf("found by %v", got)
				}
			}
		})
	}
}

func TestClientsFindServersAndStayUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		server := w.join(t, keyPair(1), Options{})
		if err := mustJoin(t, server, topicA, &JoinOptions{Mode: ServerOnly}).Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		var clients []*member
		for i := range 3 {
			c := w.join(t, keyPair(10+i), Options{})
			mustJoin(t, c, topicA, &JoinOptions{Mode: ClientOnly})
			flushed(t, c)
			clients = append(clients, c)
		}
		for _, c := range clients {
			if n := len(c.Connections()); n != 1 || !c.Connections()[0].IsInitiator() {
				t.Errorf("a client has %d connections", n)
			}
		}
		if n := w.record(topicA); n != 1 {
			t.Errorf("%d records, want the server's", n)
		}
	})
}

// Who looks before the other announces itself finds it soon after, and does not ask the
// DHT all the time meanwhile.
func TestWhoFoundNobodyLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, later := range []time.Duration{3 * time.Second, 40 * time.Second, 4 * time.Minute} {
			w := newWorld()
			client := w.join(t, keyPair(1), Options{})
			began := time.Now()
			mustJoin(t, client, topicA, &JoinOptions{Mode: ClientOnly})
			time.Sleep(later)
			mustJoin(t, w.join(t, keyPair(2), Options{}), topicA, &JoinOptions{Mode: ServerOnly})
			time.Sleep(10*time.Second + 2*later)
			if n := len(client.Connections()); n != 1 {
				t.Errorf("a server that came after %v: %d connections", later, n)
			}
			asked := len(w.searches()) - 1 // one is the server's
			if most := 3 + int(math.Log2(float64(time.Since(began)/emptyRefresh))); asked > most {
				t.Errorf("%d searches in %v", asked, time.Since(began))
			}
			time.Sleep(refreshTime)
			if n := len(w.searches()) - 1 - asked; n > 2 {
				t.Errorf("%d searches more in %v after it was found", n, refreshTime)
			}
		}
	})
}

func TestTopicIsAnnouncedWhileAnySessionIsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.join(t, keyPair(1), Options{})
		ctx := t.Context()
		one := mustJoin(t, m, topicA, nil)
		two := mustJoin(t, m, topicA, &JoinOptions{Mode: ClientOnly})
		if err := one.Flushed(ctx); err != nil || w.record(topicA) != 1 {
			t.Fatalf("%d records, %v", w.record(topicA), err)
		}
		if err := one.Leave(ctx); err != nil || w.record(topicA) != 0 {
			t.Fatalf("%d records after the server left, %v", w.record(topicA), err)
		}
		if len(m.Topics()) != 1 {
			t.Error("the client has left too")
		}
		if err := two.Refresh(ctx, &JoinOptions{Mode: ServerOnly}); err != nil || w.record(topicA) != 1 {
			t.Fatalf("%d records after the client became a server, %v", w.record(topicA), err)
		}
		if err := two.Leave(ctx); err != nil || w.record(topicA) != 0 || len(m.Topics()) != 0 {
			t.Fatalf("%d records after everybody left, %v", w.record(topicA), err)
		}
		if err := two.Leave(ctx); err != nil {
			t.Error(err)
		}
		if err := two.Refresh(ctx, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a session that left refreshes: %v", err)
		}
		// Joining at once waits for the good-bye, and is not undone by it.
		three := mustJoin(t, m, topicA, nil)
		if err := three.Flushed(ctx); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithCancel(ctx)
		cancel()
		three.Leave(short)
		if err := mustJoin(t, m, topicA, nil).Flushed(ctx); err != nil || w.record(topicA) != 1 {
			t.Errorf("%d records after joining again, %v", w.record(topicA), err)
		}
		if err := m.Leave(ctx, topicA); err != nil || w.record(topicA) != 0 {
			t.Errorf("%d records after leaving all, %v", w.record(topicA), err)
		}
		first, later := 0, 0
		for _, l := range w.searches() {
			if l.clear {
				first++
			} else if l.announce {
				later++
			}
		}
		if first == 0 {
			t.Error("what an earlier process left is never taken away")
		}
	})
}

func TestTopicIsRefreshedEveryTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.join(t, keyPair(1), Options{})
		mustJoin(t, m, topicA, nil)
		for _, step := range []struct {
			sleep    time.Duration
			min, max int
		}{{9 * time.Minute, 1, 1}, {3*time.Minute + time.Second, 2, 2}, {time.Hour, 6, 8}} {
			time.Sleep(step.sleep)
			if n := len(w.searches()); n < step.min || n > step.max {
				t.Errorf("%d searches after another %v, want %d to %d", n, step.sleep, step.min, step.max)
			}
		}
		before := len(w.searches())
		m.NetworkChanged()
		time.Sleep(time.Second)
		if len(w.searches()) != before+1 {
			t.Error("a change of the network does not refresh")
		}
	})
}

func TestFlushWaitsForEveryPeerToBeTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		good := w.join(t, keyPair(1), Options{})
		mustJoin(t, good, topicA, nil)
		time.Sleep(time.Second)
		for i := range 30 {
			w.put(topicA, keyPair(100+i).Public)
		}
		m := w.join(t, keyPair(2), Options{})
		mustJoin(t, m, topicA, &JoinOptions{Mode: ClientOnly})
		flushed(t, m)
		if n := len(m.Connections()); n != 1 {
			t.Errorf("%d connections after the flush", n)
		}
		if s := m.Stats(); s.Attempted != 31 {
			t.Errorf("%d attempts after the flush, want one for each peer", s.Attempted)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		mustJoin(t, m, topicB, nil)
		if err := m.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a flush that is given up ends with %v", err)
		}
	})
}

func TestFlushEndsWhenNoMorePeersAreTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 10 {
			mustJoin(t, w.join(t, keyPair(i), Options{}), topicA, &JoinOptions{Mode: ServerOnly})
		}
		time.Sleep(time.Second)
		m := w.join(t, keyPair(50), Options{MaxPeers: 4})
		mustJoin(t, m, topicA, &JoinOptions{Mode: ClientOnly})
		flushed(t, m)
		if n := len(m.Connections()); n != 4 {
			t.Errorf("%d connections, want 4", n)
		}
	})
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		opts            Options
		explicit        int
		servers, client int // peers that dial it, peers that it finds
		want            int
	}{
		"peers":                      {Options{MaxPeers: 5}, 0, 0, 20, 5},
		"clients":                    {Options{MaxClientConnections: 3}, 0, 0, 20, 3},
		"servers":                    {Options{MaxServerConnections: 3}, 0, 20, 0, 3},
		"peers with explicit ones":   {Options{MaxPeers: 8}, 1, 0, 20, 4},
		"explicit beyond peers":      {Options{MaxPeers: 2}, 6, 0, 0, 6},
		"servers beside full client": {Options{MaxPeers: 5}, 0, 7, 20, 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				m := w.join(t, keyPair(0), c.opts)
				for i := range c.client {
					mustJoin(t, w.join(t, keyPair(100+i), Options{}), topicA, &JoinOptions{Mode: ServerOnly})
				}
				time.Sleep(time.Second)
				for i := range c.explicit {
					e := w.join(t, keyPair(300+i), Options{})
					if err := e.Listen(t.Context()); err != nil {
						t.Fatal(err)
					}
					m.JoinPeer(e.key())
				}
				mustJoin(t, m, topicA, &JoinOptions{Mode: ClientOnly})
				if c.servers > 0 {
					flushed(t, m)
					if err := m.Listen(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				for i := range c.servers {
					w.join(t, keyPair(200+i), Options{}).JoinPeer(m.key())
				}
				time.Sleep(10 * time.Minute)
				if n := len(m.Connections()); n != c.want {
					t.Errorf("%d connections, want %d", n, c.want)
				}
				if w.parallel() > defaultParallel {
					t.Errorf("%d attempts at a time", w.parallel())
				}
			})
		})
	}
}

func TestLimitOfOneTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 20 {
			mustJoin(t, w.join(t, keyPair(i), Options{}), topicA, &JoinOptions{Mode: ServerOnly})
		}
		time.Sleep(time.Second)
		m := w.join(t, keyPair(50), Options{})
		s := mustJoin(t, m, topicA, &JoinOptions{Mode: ClientOnly, Limit: 4})
		flushed(t, m)
		if n := len(m.Connections()); n != 4 {
			t.Errorf("%d connections, want 4", n)
		}
		if err := s.Refresh(t.Context(), &JoinOptions{Mode: ClientOnly, Limit: 6}); err != nil {
			t.Fatal(err)
		}
		flushed(t, m)
		if n := len(m.Connections()); n < 6 || n > 10 {
			t.Errorf("%d connections, want 6 or a few more", n)
		}
	})
}

// A DHT node that answers with endless peers costs a fixed amount of memory and
// few packets, and does not shut out those that are connected.
func TestFloodOfFoundPeersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		good := w.join(t, keyPair(1), Options{})
		mustJoin(t, good, topicA, nil)
		time.Sleep(time.Second)
		n := 0
		w.mu.Lock()
		w.flood = func(Topic) (all [][]hyperdht.Peer) {
			for range 1000 {
				answer := make([]hyperdht.Peer, 100)
				for i := range answer {
					n++
					answer[i].PublicKey = hypercrypto.PublicKey(hypercrypto.Sum([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}))
				}
				all = append(all, answer)
			}
			return all
		}
		w.mu.Unlock()
		m := w.join(t, keyPair(2), Options{})
		s := mustJoin(t, m, topicA, nil)
		for range 5 {
			if err := s.Refresh(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if n := len(m.Peers()); n > maxKnown+1 {
				t.Fatalf("%d peers are remembered", n)
			}
		}
		began := time.Now()
		before := m.Stats().Attempted
		time.Sleep(time.Minute)
		m.Swarm.mu.Lock()
		queued := m.queue.length
		m.Swarm.mu.Unlock()
		if queued > maxKnown {
			t.Errorf("%d peers are queued", queued)
		}
		if most := uint64(strangerBurst + time.Since(began)/strangerPause); m.Stats().Attempted-before > most {
			t.Errorf("%d attempts in a minute, want at most %d", m.Stats().Attempted-before, most)
		}
		if s := m.Stats(); s.Forgotten < 1000 {
			t.Errorf("%d peers were forgotten", s.Forgotten)
		}
		// Who dials in is connected all the same.
		good.JoinPeer(m.key())
		time.Sleep(time.Minute)
		if m.to(good.key()) == nil {
			t.Error("the good peer is not connected")
		}
	})
}

func TestBannedAndRefusedPeersStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var bad hypercrypto.PublicKey
		m := w.join(t, keyPair(1), Options{Firewall: func(k hypercrypto.PublicKey) bool { return k == bad }})
		other, wicked := w.join(t, keyPair(2), Options{}), w.join(t, keyPair(3), Options{})
		bad = wicked.key()
		for _, x := range []*member{m, other, wicked} {
			mustJoin(t, x, topicA, nil)
		}
		time.Sleep(time.Minute)
		if m.to(other.key()) == nil || m.to(bad) != nil || wicked.to(m.key()) != nil {
			t.Fatalf("%d connections, want the one to the good peer", len(m.Connections()))
		}
		m.Ban(other.key(), true)
		time.Sleep(time.Minute)
		if m.to(other.key()) != nil {
			t.Error("a banned peer is connected")
		}
		m.Ban(other.key(), false)
		other.JoinPeer(m.key())
		time.Sleep(time.Hour)
		if m.to(other.key()) == nil {
			t.Error("a peer let in again is not connected")
		}
		m.Ban(m.key(), true) // is of no consequence
		m.JoinPeer(m.key())
		time.Sleep(time.Minute)
		if len(w.dialsTo(m.key())) > 0 && m.to(m.key()) != nil {
			t.Error("it is connected to itself")
		}
		for _, d := range w.dialsTo(m.key()) {
			if d.from == m.key() {
				t.Error("it dials itself")
			}
		}
	})
}

func TestSuspendAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.join(t, keyPair(1), Options{}), w.join(t, keyPair(2), Options{})
		mustJoin(t, a, topicA, nil)
		mustJoin(t, b, topicA, nil)
		time.Sleep(time.Minute)
		mesh(t, []*member{a, b})
		if err := a.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(a.Connections()) != 0 || w.record(topicA) != 1 {
			t.Errorf("suspended with %d connections and %d records", len(a.Connections()), w.record(topicA))
		}
		before := a.Stats().Attempted
		joined := mustJoin(t, a, topicB, nil)
		if err := joined.Flushed(t.Context()); !errors.Is(err, ErrSuspended) {
			t.Errorf("a suspended swarm announces: %v", err)
		}
		time.Sleep(time.Hour)
		if a.Stats().Attempted != before || len(a.Connections()) != 0 {
			t.Error("a suspended swarm dials")
		}
		if err := a.Resume(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mesh(t, []*member{a, b})
		if w.record(topicA) != 2 || w.record(topicB) != 1 {
			t.Errorf("%d and %d records after resuming", w.record(topicA), w.record(topicB))
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.join(t, keyPair(1), Options{}), w.join(t, keyPair(2), Options{})
		mustJoin(t, a, topicA, nil)
		mustJoin(t, b, topicA, nil)
		a.JoinPeer(keyPair(77).Public)
		time.Sleep(50 * time.Millisecond) // in the middle of it
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if w.record(topicA) > 1 {
			t.Error("it is still announced")
		}
		if _, err := a.Join(topicB, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("joined after Close: %v", err)
		}
		if err := a.Flush(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("flushed after Close: %v", err)
		}
		if err := a.Listen(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("listens after Close: %v", err)
		}
		time.Sleep(time.Hour)
	})
}
