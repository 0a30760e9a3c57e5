package hyperdht

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// The cache holds what a plain model holds, whatever is done to it.
func TestCacheAgainstModel(t *testing.T) {
	type entry struct {
		value, size int
		owner       netip.Addr
		at          time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		const ttl, items, bytes = time.Minute, 20, 100
		c := newCache[int, int](ttl, items, bytes)
		dropped := 0
		c.gone = func(int, int) { dropped++ }
		model := make(map[int]entry)
		now := time.Unix(1000, 0)
		owner := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(i)}) }
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 10).Draw(t, "pause")) * time.Second)
			for k, e := range model {
				if now.Sub(e.at) >= ttl {
					delete(model, k)
				}
			}
			k := rapid.IntRange(0, 40).Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0, 1:
				e := entry{rapid.Int().Draw(t, "value"), rapid.IntRange(0, 20).Draw(t, "size"), owner(k % 3), now}
				c.set(now, k, e.value, e.size, e.owner)
				model[k] = e
				for {
					total, oldest := 0, -1
					for i, e := range model {
						total += e.size
						if oldest < 0 || e.at.Before(model[oldest].at) {
							oldest = i
						}
					}
					if total <= bytes && len(model) <= items {
						break
					}
					delete(model, oldest)
				}
			case 2:
				renew := rapid.Bool().Draw(t, "renew")
				v, ok := c.get(now, k, renew)
				e, want := model[k]
				if ok != want || ok && v != e.value {
					t.Fatalf("get %d: %d %v, want %d %v", k, v, ok, e.value, want)
				}
				if ok && renew {
					e.at = now
					model[k] = e
				}
			case 3:
				c.delete(k)
				delete(model, k)
			}
		}
		c.expire(now)
		if len(c.items) != len(model) || c.order.Len() != len(model) {
			t.Fatalf("%d entries, want %d", len(c.items), len(model))
		}
	})
}

func TestNoOwnerFillsTheCache(t *testing.T) {
	c := newCache[int, int](time.Hour, 160, 1<<20)
	now := time.Now()
	greedy, other := netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2.2.2.2")
	for i := range 100 {
		c.set(now, i, i, 1, greedy)
	}
	if !c.set(now, 1000, 0, 1, other) || c.owners[greedy] != 10 {
		t.Errorf("one owner has %d", c.owners[greedy])
	}
	for i := range 100 {
		c.delete(i)
	}
	if !c.set(now, 1, 1, 1, greedy) || len(c.owners) != 2 {
		t.Error("places are not given back")
	}
}

// client speaks to a storing node without a network.
type storeClient struct {
	t    *testing.T
	node *dhtrpc.Node
	s    *sink
	from netip.AddrPort
}

// ask returns the value of the answer; answered is false for silence.
func (c *storeClient) ask(command byte, target dhtrpc.ID, token *[32]byte, value []byte) (a *answerPacket, answered bool) {
	c.s.sent = nil
	c.node.HandlePacket(c.s, request(7, c.s.addr, command, target, token, value), c.from)
	for _, p := range c.s.sent {
		if p.to == c.from && p.b[0] == 0x13 {
			return parseAnswer(c.t, p.b), true
		}
	}
	return nil, false
}

type answerPacket struct {
	token [32]byte
	code  uint64
	value []byte
}

func parseAnswer(t *testing.T, b []byte) *answerPacket {
	r := compact.NewReader(b)
	r.Byte()
	flags := r.Byte()
	r.Uint16()
	r.IPv4Address()
	a := &answerPacket{}
	if flags&1 != 0 {
		r.Fixed(32)
	}
	if flags&2 != 0 {
		a.token = r.Fixed32()
	}
	if flags&4 != 0 {
		readAddrs(&r)
	}
	if flags&8 != 0 {
		a.code = r.Uint()
	}
	if flags&16 != 0 {
		a.value = r.Buffer()
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return a
}

// inStore runs f with a storing node under a fake clock.
func inStore(t *testing.T, f func(c *storeClient, id dhtrpc.ID)) {
	synctest.Test(t, func(t *testing.T) {
		node, _, s := storingNode(t, nil)
		id, _ := node.PersistentID()
		f(&storeClient{t, node, s, netip.MustParseAddrPort("10.9.9.9:4000")}, id)
	})
}

func (c *storeClient) announce(id, target dhtrpc.ID, kp *hypercrypto.KeyPair, a announcement) bool {
	lookup, _ := c.ask(cmdLookup, target, nil, nil)
	a.peer = &Peer{PublicKey: kp.Public, Relays: a.relaysOf()}
	_, ok := c.ask(cmdAnnounce, target, &lookup.token, a.sign(kp, &nsAnnounce, &target, &id, &lookup.token))
	return ok
}

func (a *announcement) relaysOf() []netip.AddrPort {
	if a.peer == nil {
		return nil
	}
	return a.peer.Relays
}

func (c *storeClient) peers(target dhtrpc.ID) ([]Peer, uint64) {
	a, ok := c.ask(cmdLookup, target, nil, nil)
	if !ok || a.value == nil {
		return nil, 0
	}
	peers, bump, err := decodeLookup(a.value)
	if err != nil {
		c.t.Fatal(err)
	}
	return peers, bump
}

func TestTopicRecordsLive20Minutes(t *testing.T) {
	inStore(t, func(c *storeClient, id dhtrpc.ID) {
		topic := dhtrpc.ID{1}
		kp := hypercrypto.NewKeyPair()
		relays := []netip.AddrPort{netip.MustParseAddrPort("1.1.1.1:1"), netip.MustParseAddrPort("1.1.1.1:2"), netip.MustParseAddrPort("1.1.1.1:3"),
			netip.MustParseAddrPort("1.1.1.1:4")}
		bump := uint64(time.Now().UnixMilli())
		if !c.announce(id, topic, kp, announcement{peer: &Peer{Relays: relays}, bump: bump}) {
			c.t.Fatal("not stored")
		}
		for range 19 {
			time.Sleep(time.Minute)
			// Looking up does not make a record new.
			if peers, b := c.peers(topic); len(peers) != 1 || len(peers[0].Relays) != maxRelays || b != bump {
				c.t.Fatalf("peers %v bump %d", peers, b)
			}
		}
		time.Sleep(2 * time.Minute)
		if peers, _ := c.peers(topic); peers != nil {
			c.t.Errorf("after 21 minutes %v", peers)
		}
		// A new record of the same key replaces the old one at once.
		c.announce(id, topic, kp, announcement{peer: &Peer{Relays: relays[:1]}})
		c.announce(id, topic, kp, announcement{peer: &Peer{Relays: relays[1:2]}, bump: bump + uint64(time.Hour.Milliseconds())})
		if peers, _ := c.peers(topic); len(peers) != 1 || peers[0].Relays[0] != relays[1] {
			c.t.Errorf("peers %v", peers)
		}
	})
}

func TestOldBumpsAndThoseOfTheFutureAreIgnored(t *testing.T) {
	inStore(t, func(c *storeClient, id dhtrpc.ID) {
		topic, kp := dhtrpc.ID{1}, hypercrypto.NewKeyPair()
		now := uint64(time.Now().UnixMilli())
		for _, b := range []uint64{now, now - 1, now + 61_000} {
			c.announce(id, topic, kp, announcement{bump: b})
		}
		if _, bump := c.peers(topic); bump != now {
			c.t.Errorf("bump %d, want %d", bump, now)
		}
	})
}

func TestLookupChoosesAmongMany(t *testing.T) {
	inStore(t, func(c *storeClient, id dhtrpc.ID) {
		topic := dhtrpc.ID{1}
		for range 60 {
			c.announce(id, topic, hypercrypto.NewKeyPair(), announcement{})
		}
		seen := make(map[hypercrypto.PublicKey]bool)
		for range 50 {
			peers, _ := c.peers(topic)
			if len(peers) != lookupPeers {
				c.t.Fatalf("%d peers", len(peers))
			}
			for _, p := range peers {
				seen[p.PublicKey] = true
			}
		}
		if len(seen) < 50 {
			c.t.Errorf("%d of 60 were ever chosen", len(seen))
		}
	})
}

// A chain of hashes run backwards renews a record without a signature.
func TestRefreshRenewsOnce(t *testing.T) {
	inStore(t, func(c *storeClient, id dhtrpc.ID) {
		kp := hypercrypto.NewKeyPair()
		target := targetOf(kp.Public)
		first := [32]byte{9}
		second := [32]byte(hypercrypto.Sum(first[:]))
		third := [32]byte(hypercrypto.Sum(second[:]))
		c.announce(id, target, kp, announcement{refresh: &third})
		use := func(x [32]byte) bool {
			lookup, _ := c.ask(cmdLookup, target, nil, nil)
			a := announcement{refresh: &x}
			_, ok := c.ask(cmdAnnounce, target, &lookup.token, a.appendTo(nil))
			return ok
		}
		if use(first) || !use(second) || use(second) || !use(first) || use(first) {
			c.t.Error("a token was refused or used twice")
		}
		a, _ := c.ask(cmdFindPeer, target, nil, nil)
		if a.value == nil {
			c.t.Error("the route is gone")
		}
	})
}

func TestOnlyTheOwnerChangesRecords(t *testing.T) {
	inStore(t, func(c *storeClient, id dhtrpc.ID) {
		topic := dhtrpc.ID{1}
		owner, thief := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
		c.announce(id, topic, owner, announcement{})
		lookup, _ := c.ask(cmdLookup, topic, nil, nil)
		tok := lookup.token
		ann := announcement{peer: &Peer{PublicKey: owner.Public}}
		for name, value := range map[string][]byte{
			"another key":     ann.sign(thief, &nsUnannounce, &topic, &id, &tok),
			"another command": ann.sign(owner, &nsAnnounce, &topic, &id, &tok),
			"another topic":   ann.sign(owner, &nsUnannounce, &dhtrpc.ID{2}, &id, &tok),
			"another node":    ann.sign(owner, &nsUnannounce, &topic, &dhtrpc.ID{3}, &tok),
			"another token":   ann.sign(owner, &nsUnannounce, &topic, &id, &[32]byte{4}),
			"no signature":    (&announcement{peer: ann.peer}).appendTo(nil),
			"nothing":         {},
			"garbage":         {5, 1, 2},
		} {
			if _, ok := c.ask(cmdUnannounce, topic, &tok, value); ok {
				c.t.Errorf("%s: answered", name)
			}
		}
		stolen := announcement{peer: &Peer{PublicKey: owner.Public, Relays: []netip.AddrPort{netip.MustParseAddrPort("6.6.6.6:6")}}}
		self := targetOf(owner.Public)
		for name, value := range map[string][]byte{
			"another key":     stolen.sign(thief, &nsAnnounce, &topic, &id, &tok),
			"another command": stolen.sign(owner, &nsUnannounce, &topic, &id, &tok),
			"another topic":   stolen.sign(owner, &nsAnnounce, &dhtrpc.ID{2}, &id, &tok),
			"another node":    stolen.sign(owner, &nsAnnounce, &topic, &dhtrpc.ID{3}, &tok),
			"another token":   stolen.sign(owner, &nsAnnounce, &topic, &id, &[32]byte{4}),
			"no signature":    (&announcement{peer: stolen.peer}).appendTo(nil),
			"other relays": func() []byte {
				signed := ann.sign(owner, &nsAnnounce, &topic, &id, &tok)
				a, err := decodeAnnouncement(signed)
				if err != nil {
					c.t.Fatal(err)
				}
				a.peer.Relays = stolen.peer.Relays
				return a.appendTo(nil)
			}(),
		} {
			for _, target := range []dhtrpc.ID{topic, self} {
				if _, ok := c.ask(cmdAnnounce, target, &tok, value); ok {
					c.t.Errorf("%s: announced", name)
				}
			}
		}
		if a, _ := c.ask(cmdFindPeer, self, nil, nil); a.value != nil {
			c.t.Error("there is a route to the key")
		}
		if peers, _ := c.peers(topic); len(peers) != 1 || len(peers[0].Relays) > 0 {
			c.t.Fatalf("peers %v", peers)
		}
		if _, ok := c.ask(cmdUnannounce, topic, nil, ann.sign(owner, &nsUnannounce, &topic, &id, &tok)); ok {
			c.t.Error("without token: answered")
		}
		if _, ok := c.ask(cmdUnannounce, topic, &tok, ann.sign(owner, &nsUnannounce, &topic, &id, &tok)); !ok {
			c.t.Error("the owner is refused")
		}
		if peers, _ := c.peers(topic); len(peers) != 0 {
			c.t.Errorf("peers %v", peers)
		}
	})
}

func TestValuesOfAnySmallSizeAreStored(t *testing.T) {
	inStore(t, func(c *storeClient, id dhtrpc.ID) {
		for _, size := range []int{0, 1, MaxValue} {
			value := make([]byte, size)
			for i := range value {
				value[i] = byte(rand.Uint32())
			}
			target := dhtrpc.ID(hypercrypto.Sum(value))
			get, _ := c.ask(cmdImmutableGet, target, nil, nil)
			if _, ok := c.ask(cmdImmutablePut, target, &get.token, value); !ok {
				c.t.Fatalf("%d bytes: silence", size)
			}
			if a, _ := c.ask(cmdImmutableGet, target, nil, nil); a.value == nil || string(a.value) != string(value) {
				c.t.Errorf("%d bytes: %x", size, a.value)
			}
			if _, ok := c.ask(cmdImmutablePut, dhtrpc.ID{1}, &get.token, value); ok {
				c.t.Error("a value at the wrong place is stored")
			}
		}
	})
}
