package hyperdht

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// loopbackNet starts a network on loopback.
func loopbackNet(b testing.TB, count int) (boot []string, nodes []*DHT) {
	b.Helper()
	first, err := New(&Options{Bootstrap: []string{}, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Reach: Firewalled})
	if err != nil {
		b.Fatal(err)
	}
	addr := first.LocalAddr()
	first.Close()
	for i := range count {
		o := Options{Bootstrap: boot, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Role: Persistent, Reach: Open}
		var d *DHT
		if i == 0 {
			o.Listen = addr
			d, err = NewBootstrapper(addr, &o)
			boot = []string{addr.String()}
		} else {
			d, err = New(&o)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { d.Close() })
		if err := d.Ready(context.Background()); err != nil {
			b.Fatal(err)
		}
		nodes = append(nodes, d)
	}
	return boot, nodes
}

func loopbackNode(b testing.TB, boot []string) *DHT {
	b.Helper()
	d, err := New(&Options{Bootstrap: boot, Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	if err := d.Ready(context.Background()); err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkConnect makes connections through a network of ten nodes, each with a
// message there and back.
func BenchmarkConnect(b *testing.B) {
	for _, parallel := range []int{1, 16} {
		b.Run(map[int]string{1: "serial", 16: "parallel"}[parallel], func(b *testing.B) {
			boot, _ := loopbackNet(b, 10)
			s, err := loopbackNode(b, boot).Listen(context.Background(), hypercrypto.NewKeyPair(), nil)
			if err != nil {
				b.Fatal(err)
			}
			go serveEcho(s)
			d := loopbackNode(b, boot)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range parallel {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						c, err := d.Connect(context.Background(), s.PublicKey(), nil)
						if err != nil {
							b.Error(err)
							return
						}
						if err := roundTrip(c, 5); err != nil {
							b.Error(err)
						}
						c.Close()
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connects/s")
		})
	}
}

func BenchmarkAnnounceAndLookup(b *testing.B) {
	boot, _ := loopbackNet(b, 100)
	d := loopbackNode(b, boot)
	kp := hypercrypto.NewKeyPair()
	topic := func(i int) (t Topic) {
		binary.BigEndian.PutUint64(t[:], uint64(i)*0x9e3779b97f4a7c15)
		return t
	}
	b.Run("announce", func(b *testing.B) {
		for i := range b.N {
			if _, err := d.Announce(context.Background(), topic(i%1000), kp, nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "announces/s")
	})
	b.Run("lookup", func(b *testing.B) {
		for i := range b.N {
			for _, err := range d.Lookup(context.Background(), topic(i%1000), nil) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
	})
}

// BenchmarkMemoryPerNode reports what a node of a network of 200 holds.
func BenchmarkMemoryPerNode(b *testing.B) {
	const count = 200
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, nodes := loopbackNet(b, count)
		runtime.GC()
		runtime.ReadMemStats(&after)
		heap := float64(after.HeapAlloc-before.HeapAlloc) / count
		stacks := float64(after.StackInuse-before.StackInuse) / count
		b.ReportMetric(heap/1e6, "MB-heap/node")
		b.ReportMetric((heap+stacks)/1e6, "MB/node")
		for _, d := range nodes {
			d.Close()
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	boot, nodes := loopbackNet(b, 2)
	d := loopbackNode(b, boot)
	to := nodes[1].LocalAddr()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Ping(context.Background(), to); err != nil {
			b.Fatal(err)
		}
	}
}
