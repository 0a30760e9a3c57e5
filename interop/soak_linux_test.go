package interop

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
)

// soakTime is how long TestSoak lasts: go test -run TestSoak -soak 8h -timeout 9h
var soakTime = flag.Duration("soak", 2*time.Minute, "how long TestSoak lasts")

// usage is what a process must not use more and more of.
type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

func measure(t testing.TB) usage {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC() // empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{goroutines: runtime.NumGoroutine(), descriptors: len(fds), heap: m.HeapAlloc}
}

// within tells whether u is no more than what was used before, with some room for
// what happens to be under way.
func (u usage) within(before usage) bool {
	return u.goroutines <= before.goroutines+20 && u.descriptors <= before.descriptors+8 && u.heap <= before.heap+before.heap/2+(4<<20)
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB", u.goroutines, u.descriptors, u.heap>>10)
}

// Peers come and go, are killed, sleep and wake up, while a packet in a hundred is
// lost. A swarm and two DHT nodes that stay all the time use no more at the end
// than when everybody had been there once.
func TestSoak(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	lose(t, "1")
	for range 2 {
		d, err := hyperdht.New(&hyperdht.Options{Bootstrap: bootstrap, Listen: netip.MustParseAddrPort("127.0.0.1:0"),
			Role: hyperdht.Persistent, Reach: hyperdht.Open})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
	}
	// Everybody says 200 KB to everybody.
	data := pattern(50_000)
	talk := func(ctx context.Context, c *hyperswarm.Conn) {
		for range 4 {
			if _, err := c.Write(data); err != nil {
				return
			}
		}
		for {
			if _, err := c.ReadFrame(); err != nil {
				return
			}
		}
	}
	swarm := func(n int) *hyperswarm.Swarm {
		kp, _ := seeded(n)
		return hyperswarm.New(talk, &hyperswarm.Options{KeyPair: kp, Open: func(changed func()) (*hyperdht.DHT, error) {
			return hyperdht.New(&hyperdht.Options{Bootstrap: bootstrap, Changed: changed})
		}})
	}
	topic := hypercrypto.Sum([]byte("soak"))
	join := func(s *hyperswarm.Swarm) {
		t.Helper()
		if _, err := s.Join(hyperswarm.Topic(topic), &hyperswarm.JoinOptions{Mode: hyperswarm.Both}); err != nil {
			t.Fatal(err)
		}
	}
	stays := swarm(0)
	defer stays.Close()
	join(stays)
	jsKey, jsSeed := seeded(1)
	var js *Node
	var before usage
	began := time.Now()
	const warm = 2 // rounds until everybody has been there
	round := 0
	for ; round <= warm+1 || time.Since(began) < *soakTime; round++ {
		var old *hyperswarm.Conn
		if round%2 == 0 { // JavaScript is killed and comes back
			if old = stays.Connection(jsKey.Public); js != nil {
				js.kill()
			}
			js = startPeer(t, "", "drive-peer.js", "store", seedHex(9))
			js.Call(t, "swarm", Args{"bootstrap": args, "seed": jsSeed})
			js.Call(t, "swarmJoin", Args{"topic": hexOf(topic[:])})
		}
		var guests []*hyperswarm.Swarm
		for i := range 3 {
			s := swarm(2 + (2*round+i)%5)
			join(s)
			guests = append(guests, s)
		}
		for i, s := range guests {
			eventually(t, fmt.Sprintf("guest %d of round %d heard and spoke", i, round), func() bool {
				c := stays.Connection(s.KeyPair().Public)
				return c != nil && c.Traffic().MessagesReceived > 4 && c.Traffic().MessagesSent > 4
			})
		}
		eventually(t, fmt.Sprintf("JavaScript connected in round %d", round), func() bool {
			c := stays.Connection(jsKey.Public)
			return c != nil && c != old
		})
		sleeper := guests[0]
		if err := sleeper.Suspend(testContext(t)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a sleeper is gone", func() bool { return stays.Connection(sleeper.KeyPair().Public) == nil })
		if err := sleeper.Resume(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the sleeper is back", func() bool { return stays.Connection(sleeper.KeyPair().Public) != nil })
		for _, s := range guests {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		eventually(t, "the guests are gone", func() bool { return len(stays.Connections()) <= 1 })
		var now usage
		if round < warm {
			continue
		}
		if round == warm {
			before = measure(t)
			continue
		}
		eventually(t, fmt.Sprintf("no growth in round %d", round), func() bool {
			now = measure(t)
			if !now.within(before) {
				time.Sleep(time.Second)
			}
			return now.within(before)
		})
		t.Logf("round %d: %v", round, now)
	}
	t.Logf("%d rounds; after %d of them %v", round, warm+1, before)
}
