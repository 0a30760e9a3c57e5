package hyperswarm

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	mrand "math/rand/v2"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// Both sides dial at the same moment, with all sorts of latencies: exactly one
// connection is left, the one that the side with the larger key dialed.
func TestSimultaneousDialsLeaveTheExpectedConnection(t *testing.T) {
	for i := range 200 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			spread := time.Duration(1+i) * time.Millisecond
			w.latency = func() time.Duration { return mrand.N(spread) }
			smallKey, largeKey := orderedPairs(i)
			small, large := w.join(t, smallKey, Options{}), w.join(t, largeKey, Options{})
			for _, m := range []*member{small, large} {
				if err := m.Listen(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			first, second := small, large
			if i%2 == 0 {
				first, second = large, small
			}
			first.JoinPeer(second.key())
			second.JoinPeer(first.key())
			time.Sleep(4 * time.Second) // before the first keepalive, after the first retry
			mesh(t, []*member{small, large})
			time.Sleep(time.Minute)
			mesh(t, []*member{small, large})
			both := len(w.dialsTo(smallKey.Public)) > 0 && len(w.dialsTo(largeKey.Public)) > 0
			if c := large.to(smallKey.Public); c != nil && both && !c.IsInitiator() {
				t.Errorf("round %d: the connection of the smaller key is left", i)
			}
		})
	}
}

// A peer that comes back after a crash replaces the connection that it lost,
// whichever side has the larger key.
func TestRestartedPeerReplacesItsConnection(t *testing.T) {
	for _, largeRestarts := range []bool{false, true} {
		for _, dialedByUs := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				stays, restarts := orderedPairs(1)
				if !largeRestarts {
					stays, restarts = restarts, stays
				}
				a, b := w.join(t, stays, Options{}), w.join(t, restarts, Options{})
				for _, m := range []*member{a, b} {
					if err := m.Listen(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if dialedByUs {
					a.JoinPeer(b.key())
				} else {
					b.JoinPeer(a.key())
				}
				time.Sleep(20 * time.Second) // keepalives have gone both ways
				old := a.to(b.key())
				if old == nil {
					t.Fatal("not connected")
				}
				w.crash(b)
				again := w.join(t, restarts, Options{})
				again.JoinPeer(a.key())
				time.Sleep(time.Second)
				now := a.to(b.key())
				if now == nil || now == old || again.to(a.key()) == nil || now.HandshakeHash() != again.to(a.key()).HandshakeHash() {
					t.Errorf("larger key restarts: %v, dialed by us: %v: the old connection is in the way", largeRestarts, dialedByUs)
				}
			})
		}
	}
}

func TestLostConnectionIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.join(t, keyPair(1), Options{}), w.join(t, keyPair(2), Options{})
		mustJoin(t, a, topicA, &JoinOptions{Mode: ServerOnly})
		time.Sleep(time.Second)
		mustJoin(t, b, topicA, &JoinOptions{Mode: ClientOnly})
		for range 30 {
			time.Sleep(20 * time.Second)
			c := b.to(a.key())
			if c == nil {
				t.Fatal("not connected")
			}
			c.Close()
			time.Sleep(3 * time.Second)
			if b.to(a.key()) == nil {
				t.Fatal("a connection that lasted is not made again soon")
			}
		}
		// One that does not last is made again more and more seldom, then not at all
		// until the peer is found again.
		before := len(w.dialsTo(a.key()))
		for range 300 {
			if c := b.to(a.key()); c != nil {
				c.Close()
			}
			time.Sleep(time.Second)
		}
		// Three, and four more if the topic was refreshed meanwhile.
		if n := len(w.dialsTo(a.key())) - before; n < 2 || n > 7 {
			t.Errorf("%d dials to a peer that never stays", n)
		}
		time.Sleep(13 * time.Minute)
		if b.to(a.key()) == nil {
			t.Error("the peer is not tried after it was found again")
		}
	})
}

func TestPausesBetweenAttempts(t *testing.T) {
	for name, c := range map[string]struct {
		explicit bool
		want     [][2]time.Duration // least and greatest pause after each attempt
	}{
		"found": {false, [][2]time.Duration{
			{3300 * time.Millisecond, 8580 * time.Millisecond}, {9900 * time.Millisecond, 23100 * time.Millisecond}, {9900 * time.Millisecond, 23100 * time.Millisecond},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.latency = func() time.Duration { return time.Millisecond }
				m := w.join(t, keyPair(1), Options{})
				nobody := keyPair(2).Public
				w.put(topicA, nobody)
				mustJoin(t, m, topicA, &JoinOptions{Mode: ClientOnly})
				time.Sleep(9 * time.Minute)
				dials := w.dialsTo(nobody)
				if len(dials) != len(c.want)+1 {
					t.Fatalf("%d attempts, want %d", len(dials), len(c.want)+1)
				}
				for i, want := range c.want {
					if got := dials[i+1].at.Sub(dials[i].at); got < want[0] || got > want[1]+10*time.Millisecond {
						t.Errorf("pause %d is %v, want %v to %v", i, got, want[0], want[1])
					}
				}
				if p, ok := m.state(nobody); ok && p.State != Idle {
					t.Errorf("%+v", p)
				}
			})
		})
	}
}

func TestExplicitPeerIsTriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.join(t, keyPair(1), Options{})
		nobody := keyPair(2)
		m.JoinPeer(nobody.Public)
		time.Sleep(24 * time.Hour)
		n := len(w.dialsTo(nobody.Public))
		if n < 100 || n > 400 {
			t.Errorf("%d attempts in a day", n)
		}
		late := w.join(t, nobody, Options{})
		if err := late.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(17 * time.Minute)
		if m.to(late.key()) == nil {
			t.Error("the peer is not connected when it comes at last")
		}
		m.LeavePeer(late.key())
		if m.to(late.key()) == nil {
			t.Error("leaving a peer ends its connection")
		}
		late.Close()
		n = len(w.dialsTo(nobody.Public))
		time.Sleep(24 * time.Hour)
		if now := len(w.dialsTo(nobody.Public)); now != n {
			t.Errorf("%d attempts after LeavePeer", now-n)
		}
		if p := m.Peers(); len(p) != 0 {
			t.Errorf("%+v is not forgotten", p)
		}
	})
}

func TestRelayIsUsedWhenNothingElseWorks(t *testing.T) {
	relay := keyPair(99).Public
	for name, c := range map[string]struct {
		only     bool
		random   bool
		attempts int // at the most
	}{
		"after a failed punch": {false, false, 2},
		"own NAT is random":    {false, true, 1},
		"only relays":          {true, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.blocked = func(_, _ hypercrypto.PublicKey, r relayChoice) error {
					if r.through == nil {
						return errUnreachable
					}
					return nil
				}
				opts := Options{Relays: func() ([]hypercrypto.PublicKey, bool) { return []hypercrypto.PublicKey{relay}, c.only }}
				a, b := w.join(t, keyPair(1), Options{}), w.join(t, keyPair(2), opts)
				b.node.random = c.random
				if err := a.Listen(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.JoinPeer(a.key())
				time.Sleep(10 * time.Second)
				conn := b.to(a.key())
				if conn == nil {
					t.Fatal("not connected")
				}
				dials := w.dialsTo(a.key())
				if len(dials) > c.attempts || *dials[len(dials)-1].relay.through != relay {
					t.Errorf("%d attempts", len(dials))
				}
				if conn.Path().Kind != hyperdht.PathRelayed {
					t.Errorf("path %+v", conn.Path())
				}
				if c.only && !dials[0].relay.only {
					t.Error("a direct path was allowed")
				}
			})
		})
	}
}

func TestNetworkChangeProbesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.join(t, keyPair(1), Options{}), w.join(t, keyPair(2), Options{})
		if err := a.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.JoinPeer(a.key())
		time.Sleep(time.Second)
		before := b.to(a.key()).Traffic().MessagesSent
		b.NetworkChanged()
		time.Sleep(time.Second)
		if got := b.to(a.key()).Traffic().MessagesSent; got != before+1 {
			t.Errorf("%d messages after a change, %d before", got, before)
		}
	})
}

func TestPriorities(t *testing.T) {
	for attempts, want := range []int{normal, veryHigh, high, low} {
		if p := (&peer{attempts: attempts}); !p.eligible() || p.priority != want {
			t.Errorf("after %d attempts the priority is %d, want %d", attempts, p.priority, want)
		}
	}
	for name, p := range map[string]*peer{"given up": {attempts: 4}, "banned": {banned: true}, "queued": {queued: true}} {
		if p.eligible() {
			t.Errorf("a peer that is %s is queued", name)
		}
	}
	if p := (&peer{attempts: 9, explicit: true}); !p.eligible() || p.attempts != 3 {
		t.Errorf("an explicit peer is given up: %+v", p)
	}
}

func TestQueueIsOrderedByPriorityAndRandomWithin(t *testing.T) {
	any := func(*peer) bool { return true }
	firsts := make(map[int]bool)
	for range 100 {
		var q queue
		for i := range 100 {
			p := &peer{attempts: i % 4, key: hypercrypto.PublicKey{byte(i)}}
			p.eligible()
			q.add(p)
		}
		last, n := veryHigh, 0
		for p := q.pop(any); p != nil; p = q.pop(any) {
			if n == 0 {
				firsts[int(p.key[0])] = true
			}
			if n++; p.priority > last || p.queued {
				t.Fatalf("priority %d after %d", p.priority, last)
			}
			last = p.priority
		}
		if n != 100 || q.length != 0 {
			t.Fatalf("%d peers came out", n)
		}
	}
	if len(firsts) < 5 {
		t.Errorf("only %d peers are ever first", len(firsts))
	}
}

// Connections that were made by other means take part in the choice of one: all
// combinations of who dialed the first and the second, with and without traffic
// on the first, leave both sides with the same one.
func TestAdoptedConnectionsCompete(t *testing.T) {
	for _, firstBySmall := range []bool{false, true} {
		for _, secondBySmall := range []bool{false, true} {
			for _, used := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					smallKey, largeKey := orderedPairs(3)
					small, large := w.join(t, smallKey, Options{}), w.join(t, largeKey, Options{})
					adopt := func(bySmall bool) (a, b *Conn, err error) {
						from, to := large, small
						if bySmall {
							from, to = to, from
						}
						x, y := w.pair(from.key(), to.key())
						a, err = from.Adopt(x, nil)
						b, err2 := to.Adopt(y, nil)
						return a, b, errors.Join(err, err2)
					}
					a, _, err := adopt(firstBySmall)
					if err != nil {
						t.Fatal(err)
					}
					if used {
						time.Sleep(20 * time.Second)
					}
					c, _, err := adopt(secondBySmall)
					time.Sleep(time.Second)
					mesh(t, []*member{small, large})
					want := a
					if used || !secondBySmall {
						want = c
					} else if !errors.Is(err, ErrDuplicate) {
						t.Errorf("the second ends with %v", err)
					}
					now := small.to(large.key())
					if now == nil || want == nil || now.HandshakeHash() != want.HandshakeHash() {
						t.Errorf("first by small %v, second by small %v, used %v: the wrong one is left", firstBySmall, secondBySmall, used)
					}
					// Nobody dials who is connected.
					small.JoinPeer(large.key())
					time.Sleep(time.Hour)
					if len(w.dialsTo(large.key())) > 0 {
						t.Error("a connected peer is dialed")
					}
				})
			}
		}
	}
}
