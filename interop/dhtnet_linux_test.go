package interop

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

func dhtPair(b byte) (string, *hypercrypto.KeyPair) {
	seed := [32]byte(bytes.Repeat([]byte{b}, 32))
	return hex.EncodeToString(seed[:]), hypercrypto.KeyPairFromSeed(seed)
}

// mixedNetwork starts half a network of each kind. The first node is of the kind
// that goFirst says.
func mixedNetwork(t testing.TB, half int, goFirst bool) (boot []string, nodes []*hyperdht.DHT) {
	t.Helper()
	addGo := func() {
		for range half {
			o := hyperdht.Options{Bootstrap: boot, Role: hyperdht.Persistent, Reach: hyperdht.Open}
			if boot == nil {
				first, err := hyperdht.NewBootstrapper(netip.MustParseAddrPort("127.0.0.1:49737"),
					&hyperdht.Options{Listen: netip.MustParseAddrPort("127.0.0.1:49737")})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { first.Close() })
				if err := first.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				boot = []string{"127.0.0.1:49737"}
				nodes = append(nodes, first)
				continue
			}
			nodes = append(nodes, goDHT(t, o))
		}
	}
	addJS := func() {
		n := StartNode(t, "", "dht-peer.js")
		args := Args{"size": half}
		if boot != nil {
			args["bootstrap"] = boot
		}
		r := n.Call(t, "network", args)
		if boot == nil {
			boot = texts(r.List("nodes"))[:1]
		}
		if got := int(r.Num("persistent")); got < half-1 {
			t.Fatalf("%d of %d JavaScript nodes are persistent", got, half)
		}
	}
	if goFirst {
		addGo()
		addJS()
	} else {
		addJS()
		addGo()
	}
	for i, d := range nodes {
		if s := d.Status(); !s.Persistent {
			t.Fatalf("node %d is not persistent: %+v", i, s)
		}
	}
	return boot, nodes
}

// Half the nodes are JavaScript's and half are ours; either kind announces and
// stores, and the other finds.
func TestDHTMixedNetworkServesBoth(t *testing.T) {
	for _, goFirst := range []bool{false, true} {
		t.Run(map[bool]string{false: "JavaScript first", true: "Go first"}[goFirst], func(t *testing.T) {
			isolate(t)
			boot, nodes := mixedNetwork(t, 24, goFirst)
			js := jsDHT(t, boot)
			d := goDHT(t, hyperdht.Options{Bootstrap: boot})
			checkTopics(t, js, d)
			checkValues(t, js, d)

			s := echoServer(t, d, nil)
			key := s.PublicKey()
			js.Call(t, "connect", Args{"key": hex.EncodeToString(key[:])})
			theirs := dhtKey(t, js.Call(t, "listen", nil).Str("publicKey"))
			c, err := d.Connect(t.Context(), theirs, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkEcho(c, 50_000); err != nil {
				t.Fatal(err)
			}
			c.Close()
			known := 0
			for _, n := range nodes {
				known += n.Status().Nodes
			}
			t.Logf("a node of ours knows %d others on average", known/len(nodes))
		})
	}
}

func checkTopics(t *testing.T, js *Node, d *hyperdht.DHT) {
	topic := hyperdht.Topic(bytes.Repeat([]byte{0xaa}, 32))
	topicHex := hex.EncodeToString(topic[:])
	relays := []netip.AddrPort{netip.MustParseAddrPort("1.2.3.4:5"), netip.MustParseAddrPort("6.7.8.9:10")}
	_, ours := dhtPair(1)
	seed, _ := dhtPair(2)
	bump := uint64(time.Now().UnixMilli())
	stored, err := d.Announce(t.Context(), topic, ours, &hyperdht.AnnounceOptions{Relays: relays, Bump: bump})
	if err != nil || stored < 15 {
		t.Fatalf("announced at %d nodes: %v", stored, err)
	}
	theirs := dhtKey(t, js.Call(t, "announce", Args{"topic": topicHex, "seed": seed, "relays": []string{"11.12.13.14:15"}}).Str("publicKey"))

	seen := js.Call(t, "lookup", Args{"topic": topicHex})
	keys := make(map[string][]string)
	for _, p := range seen.List("peers") {
		e := Event(p.(map[string]any))
		keys[e.Str("publicKey")] = texts(e.List("relays"))
	}
	if len(keys) != 2 || !slices.Equal(keys[hex.EncodeToString(ours.Public[:])], []string{"1.2.3.4:5", "6.7.8.9:10"}) || seen.Num("bump") != bump {
		t.Errorf("JavaScript finds %v, bump %d", keys, seen.Num("bump"))
	}
	found := lookup(t, d, topic)
	if len(found) != 2 || !slices.Equal(found[theirs], []netip.AddrPort{netip.MustParseAddrPort("11.12.13.14:15")}) {
		t.Errorf("we find %v", found)
	}
	if err := d.Unannounce(t.Context(), topic, ours, nil); err != nil {
		t.Fatal(err)
	}
	js.Call(t, "unannounce", Args{"topic": topicHex, "seed": seed})
	if found := lookup(t, d, topic); len(found) != 0 {
		t.Errorf("after unannouncing we find %v", found)
	}
	if left := js.Call(t, "lookup", Args{"topic": topicHex}).List("peers"); len(left) != 0 {
		t.Errorf("after unannouncing JavaScript finds %v", left)
	}
}

func lookup(t *testing.T, d *hyperdht.DHT, topic hyperdht.Topic) map[hypercrypto.PublicKey][]netip.AddrPort {
	t.Helper()
	found := make(map[hypercrypto.PublicKey][]netip.AddrPort)
	for r, err := range d.Lookup(t.Context(), topic, nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Peers {
			found[p.PublicKey] = p.Relays
		}
	}
	return found
}

func checkValues(t *testing.T, js *Node, d *hyperdht.DHT) {
	ctx := t.Context()
	seed, _ := dhtPair(3)
	_, mine := dhtPair(4)
	if err := d.MutablePut(ctx, mine, hyperdht.Value{Seq: 7, Data: []byte("from Go")}); err != nil {
		t.Fatal(err)
	}
	r := js.Call(t, "mutableGet", Args{"key": hex.EncodeToString(mine.Public[:]), "seq": 0})
	if r.Num("seq") != 7 || r.Str("value") != hex.EncodeToString([]byte("from Go")) {
		t.Errorf("JavaScript reads %v", r)
	}
	if err := d.MutablePut(ctx, mine, hyperdht.Value{Seq: 7, Data: []byte("other")}); !errors.Is(err, hyperdht.ErrSeqReused) {
		t.Errorf("the same number again: %v", err)
	}
	if err := d.MutablePut(ctx, mine, hyperdht.Value{Seq: 6, Data: []byte("other")}); !errors.Is(err, hyperdht.ErrSeqTooLow) {
		t.Errorf("a lower number: %v", err)
	}
	js.Call(t, "mutablePut", Args{"seed": seed, "value": hex.EncodeToString([]byte("from JavaScript")), "seq": 3})
	_, theirs := dhtPair(3)
	v, err := d.MutableGet(ctx, theirs.Public, 0)
	if err != nil || v.Seq != 3 || string(v.Data) != "from JavaScript" {
		t.Errorf("we read %d %q, %v", v.Seq, v.Data, err)
	}
	if _, err := d.MutableGet(ctx, theirs.Public, 4); !errors.Is(err, hyperdht.ErrNotFound) {
		t.Errorf("a number that is not there: %v", err)
	}
	hash, err := d.ImmutablePut(ctx, bytes.Repeat([]byte{9}, hyperdht.MaxValue))
	if err != nil {
		t.Fatal(err)
	}
	if r := js.Call(t, "immutableGet", Args{"hash": hex.EncodeToString(hash[:])}); len(r.Str("value")) != 2*hyperdht.MaxValue {
		t.Errorf("JavaScript reads %v", r)
	}
	back := js.Call(t, "immutablePut", Args{"value": hex.EncodeToString([]byte("never changes"))}).Str("hash")
	h, err := hex.DecodeString(back)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.ImmutableGet(ctx, hypercrypto.Hash(h)); err != nil || string(got) != "never changes" {
		t.Errorf("we read %q, %v", got, err)
	}
}

// BenchmarkDHTConnect compares how many connections per second each kind makes
// through a network of ten JavaScript nodes.
func BenchmarkDHTConnect(b *testing.B) {
	isolate(b)
	boot := jsNetwork(b, 10)
	server, client := jsDHT(b, boot), jsDHT(b, boot)
	s := echoServer(b, goDHT(b, hyperdht.Options{Bootstrap: boot}), nil)
	d := goDHT(b, hyperdht.Options{Bootstrap: boot})
	for _, parallel := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d at a time", parallel), func(b *testing.B) {
			key := server.Call(b, "listen", nil).Str("publicKey")
			const count = 400
			r := client.Call(b, "bench", Args{"key": key, "count": count, "parallel": parallel})
			js := float64(count) / (float64(r.Num("ms")) / 1000)
			start := time.Now()
			var wg sync.WaitGroup
			var left atomic.Int64
			left.Store(count)
			for range parallel {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						c, err := d.Connect(context.Background(), s.PublicKey(), nil)
						if err != nil {
							b.Error(err)
							return
						}
						buf := make([]byte, 1)
						if _, err := c.Write(buf); err != nil {
							b.Error(err)
						}
						if _, err := io.ReadFull(c, buf); err != nil {
							b.Error(err)
						}
						c.Close()
					}
				})
			}
			wg.Wait()
			ours := count / time.Since(start).Seconds()
			b.ReportMetric(js, "JavaScript/s")
			b.ReportMetric(ours, "Go/s")
			b.ReportMetric(ours/js, "ratio")
		})
	}
}
