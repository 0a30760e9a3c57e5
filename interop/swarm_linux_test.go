package interop

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
)

// testnet starts a DHT of JavaScript nodes and returns its bootstrap node in both
// forms.
func testnet(t testing.TB) (addrs []string, args []any) {
	t.Helper()
	n := StartNode(t, "", "testnet.js", "6")
	for _, b := range n.Event(t, "ready").List("bootstrap") {
		e := Event(b.(map[string]any))
		addrs = append(addrs, fmt.Sprintf("%s:%d", e.Str("host"), e.Num("port")))
		args = append(args, b)
	}
	return addrs, args
}

// goSwarm is our counterpart of a peer with a Hyperswarm.
type goSwarm struct {
	*hyperswarm.Swarm

	mu     sync.Mutex
	opened int
}

// startSwarm starts a swarm that runs serve on each connection; nil only reads.
func startSwarm(t testing.TB, bootstrap []string, kp *hypercrypto.KeyPair, serve hyperswarm.Handler) *goSwarm {
	t.Helper()
	if serve == nil {
		serve = func(ctx context.Context, c *hyperswarm.Conn) {
			for {
				if _, err := c.ReadFrame(); err != nil {
					return
				}
			}
		}
	}
	s := &goSwarm{}
	s.Swarm = hyperswarm.New(func(ctx context.Context, c *hyperswarm.Conn) {
		s.mu.Lock()
		s.opened++
		s.mu.Unlock()
		serve(ctx, c)
	}, &hyperswarm.Options{KeyPair: kp, Open: func(changed func()) (*hyperdht.DHT, error) {
		return hyperdht.New(&hyperdht.Options{Bootstrap: bootstrap, Changed: changed})
	}})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the swarm: %v", err)
		}
	})
	return s
}

func (s *goSwarm) join(t testing.TB, topic [32]byte, mode hyperswarm.Mode) *hyperswarm.Session {
	t.Helper()
	n, err := s.Join(topic, &hyperswarm.JoinOptions{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Flushed(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

// seeded returns the key pair of a number, and the seed in hexadecimal digits.
func seeded(n int) (*hypercrypto.KeyPair, string) {
	seed := hypercrypto.Sum([]byte("interop swarm"), []byte{byte(n), byte(n >> 8)})
	return hypercrypto.KeyPairFromSeed(seed), hex.EncodeToString(seed[:])
}

// finds has a peer look for a topic, without being found there, until that led to something.
// Once is not enough: who looks before the others are announced looks again only after
// minutes.
func (n *Node) finds(t testing.TB, topic [32]byte, found func() bool) {
	t.Helper()
	at := Args{"topic": hex.EncodeToString(topic[:]), "server": false}
	eventually(t, "found at the topic", func() bool {
		n.Call(t, "swarmLeave", at)
		n.Call(t, "swarmJoin", at)
		for until := time.Now().Add(5 * time.Second); !found(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) {
				return false
			}
		}
		return true
	})
}

// Both directions of finding: one side announces a topic, the other looks it up;
// then a store here and a store there exchange what they have over the
// connection of the swarm.
func TestSwarmsFindEachOtherAndReplicate(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	for i, weAnnounce := range []bool{true, false} {
		h := newStoreHub(t, byte(20+i))
		n := startPeer(t, "", "drive-peer.js", "store", seedHex(byte(30+i)))
		own, _ := seeded(2 * i)
		_, theirSeed := seeded(2*i + 1)
		n.Call(t, "swarm", Args{"bootstrap": args, "seed": theirSeed})
		s := startSwarm(t, bootstrap, own, func(ctx context.Context, c *hyperswarm.Conn) { _ = h.Replicate(ctx, c) })

		ours := h.get(t, corestore.GetOptions{Name: "ours"})
		appendBlocks(t, ours, testBlocks(0, 50)...)
		theirs := n.Call(t, "drive", Args{"drive": "d", "name": "d"})
		n.Call(t, "put", Args{"drive": "d", "path": "/hello.txt", "text": "over the swarm"})
		key := parseKey(t, theirs.Str("key"))
		topic := key.Discovery()
		if weAnnounce {
			s.join(t, topic, hyperswarm.ServerOnly)
			n.Call(t, "swarmJoin", Args{"topic": hex.EncodeToString(topic[:]), "server": false})
		} else {
			n.Call(t, "swarmJoin", Args{"topic": hex.EncodeToString(topic[:]), "client": false})
			s.join(t, topic, hyperswarm.ClientOnly)
		}
		c := n.Event(t, "connection")
		if got := c.Str("remotePublicKey"); got != hexOf(own.Public[:]) {
			t.Errorf("connected to %s, want %s", got, hexOf(own.Public[:]))
		}
		if c.Bool("isInitiator") != weAnnounce {
			t.Errorf("initiator there: %v, we announce: %v", c.Bool("isInitiator"), weAnnounce)
		}
		d := h.get(t, corestore.GetOptions{Key: &key})
		untilAt(t, d, 2, 0)
		n.Call(t, "drive", Args{"drive": "reader", "key": ours.Key().Hex()})
		n.Call(t, "wait", Args{"core": "reader/db", "length": 50})
		wantSame(t, n, "reader/db", ours)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		n.Event(t, "connection-close")
	}
}

// Twenty times both sides dial each other at the same moment; each side has the
// larger key about half of the time. Exactly one connection is left: the one that
// the side with the larger key dialed, unless it came so late that it found the
// other in use, or the other took its place because of that, on a busy machine.
func TestSimultaneousDialsAgreeWithJavaScript(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	n := startPeer(t, "", "drive-peer.js", "store", seedHex(9))
	larger, contested, unexpected := 0, 0, 0
	for round := range 20 {
		own, _ := seeded(100 + 2*round)
		other, theirSeed := seeded(101 + 2*round)
		n.Call(t, "swarm", Args{"bootstrap": args, "seed": theirSeed})
		n.Call(t, "swarmListen", nil)
		s := startSwarm(t, bootstrap, own, nil)
		if err := s.Listen(testContext(t)); err != nil {
			t.Fatal(err)
		}
		weAreLarger := bytes.Compare(own.Public[:], other.Public[:]) > 0
		if weAreLarger {
			larger++
		}
		dialed := n.Go("joinPeer", Args{"key": hexOf(own.Public[:])})
		s.JoinPeer(other.Public)
		dialed.Wait(t)
		var c *hyperswarm.Conn
		both := false
		one := func() bool {
			c = s.Connection(other.Public)
			theirs := n.Call(t, "connections", nil)
			list := theirs.List("connections")
			if c == nil || len(list) != 1 {
				return false
			}
			both = theirs.Num("dialed") > 0 && s.Stats().Attempted > 0
			hash := c.HandshakeHash()
			return Event(list[0].(map[string]any)).Str("handshakeHash") == hexOf(hash[:])
		}
		eventually(t, fmt.Sprintf("one connection in round %d", round), one)
		// It stays that one.
		time.Sleep(300 * time.Millisecond)
		if !one() {
			eventually(t, fmt.Sprintf("one connection again in round %d", round), one)
		}
		if both {
			contested++
			if c.IsInitiator() != weAreLarger {
				unexpected++
				t.Logf("round %d: dialed by us: %v, larger key here: %v", round, c.IsInitiator(), weAreLarger)
			}
		}
		s.Close()
	}
	t.Logf("both dialed in %d rounds", contested)
	if unexpected > contested/4 {
		t.Errorf("the other connection was left in %d of %d rounds", unexpected, contested)
	}
	if larger < 3 || larger > 17 {
		t.Errorf("our key was larger %d times of 20", larger)
	}
}

// A JavaScript peer that is killed and started again replaces its old connection,
// whichever side has the larger key.
func TestRestartedJavaScriptPeerReplacesItsConnection(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	for i, largeHere := range []bool{true, false} {
		own, _ := seeded(200)
		_, theirSeed := seeded(201)
		other, _ := seeded(201)
		for k := 0; (bytes.Compare(own.Public[:], other.Public[:]) > 0) != largeHere; k++ {
			own, _ = seeded(300 + 10*i + k)
		}
		s := startSwarm(t, bootstrap, own, nil)
		if err := s.Listen(testContext(t)); err != nil {
			t.Fatal(err)
		}
		start := func() *Node {
			n := startPeer(t, "", "drive-peer.js", "store", seedHex(9))
			n.Call(t, "swarm", Args{"bootstrap": args, "seed": theirSeed})
			n.Call(t, "swarmListen", nil)
			n.Call(t, "joinPeer", Args{"key": hexOf(own.Public[:])})
			n.Event(t, "connection")
			return n
		}
		n := start()
		eventually(t, "connected with traffic", func() bool {
			c := s.Connection(other.Public)
			return c != nil && c.Traffic().MessagesReceived > 0 && c.Traffic().MessagesSent > 0
		})
		before := s.Connection(other.Public)
		n.cmd.Process.Kill()
		<-n.done
		began := time.Now()
		start()
		eventually(t, "connected again", func() bool {
			c := s.Connection(other.Public)
			return c != nil && c != before
		})
		t.Logf("back after %v", time.Since(began))
		eventually(t, "the end of the old connection", func() bool { return before.Err() != nil })
		s.Close()
	}
}

// A JavaScript peer that suspends and resumes is found and connected again.
func TestJavaScriptPeerSuspendsAndResumes(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	own, _ := seeded(1)
	other, theirSeed := seeded(2)
	topic := hypercrypto.Sum([]byte("topic"))
	s := startSwarm(t, bootstrap, own, nil)
	s.join(t, topic, hyperswarm.Both)
	n := startPeer(t, "", "drive-peer.js", "store", seedHex(9))
	n.Call(t, "swarm", Args{"bootstrap": args, "seed": theirSeed})
	n.Call(t, "swarmJoin", Args{"topic": hexOf(topic[:])})
	eventually(t, "connected", func() bool { return s.Connection(other.Public) != nil })
	n.Call(t, "suspend", nil)
	eventually(t, "disconnected", func() bool { return s.Connection(other.Public) == nil })
	n.Call(t, "resume", nil)
	eventually(t, "connected again", func() bool { return s.Connection(other.Public) != nil })
	if err := s.Suspend(testContext(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "disconnected there", func() bool { return len(n.Call(t, "connections", nil).List("connections")) == 0 })
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected after our own sleep", func() bool { return s.Connection(other.Public) != nil })
}
