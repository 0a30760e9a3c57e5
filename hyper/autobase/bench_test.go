package autobase

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
)

func BenchmarkAppendOneWriter(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch ", batch), func(b *testing.B) {
			p := newPeers(b, 1, Options{})
			values := make([][]byte, batch)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				for i := range values {
					n++
					values[i] = opPut(fmt.Sprint("key ", n%1000), fmt.Sprint("value ", n))
				}
				p.append(0, values...)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "values/s")
		})
	}
}

// BenchmarkAppendInEpochs is BenchmarkAppendOneWriter on an encrypted base, without a
// ring, with one in epoch 0 and in an epoch.
func BenchmarkAppendInEpochs(b *testing.B) {
	for _, epoch := range []string{"no ring", "0", "1"} {
		b.Run(epoch, func(b *testing.B) {
			o := Options{EncryptionKey: &testSecret}
			if epoch != "no ring" {
				o.Keys = newRing(1)
			}
			p := newPeers(b, 1, o)
			if epoch == "1" {
				p.append(0, opEpoch(1))
			}
			values := make([][]byte, 100)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				for i := range values {
					n++
					values[i] = opPut(fmt.Sprint("key ", n%1000), fmt.Sprint("value ", n))
				}
				p.append(0, values...)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "values/s")
		})
	}
}

// BenchmarkThreeWriters has three indexers that append in turns, each hearing
// of the others before.
func BenchmarkThreeWriters(b *testing.B) {
	p := benchMembers(b, 3, 3)
	ctx := context.Background()
	n := 0
	for b.Loop() {
		i := n % 3
		n++
		p.append(i, opPut(fmt.Sprint("key ", n%1000), fmt.Sprint("value ", n)))
		src := p.logAt(i, i)
		for j := range p.bases {
			if j == i {
				continue
			}
			dst := p.logAt(i, j)
			for k := dst.Length(); k < src.Length(); k++ {
				blk, err := src.GetRaw(ctx, k)
				if err == nil {
					_, err = dst.Append(ctx, blk)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			dst.Close()
			if _, err := p.bases[j].Update(ctx); err != nil {
				b.Fatal(err)
			}
		}
		src.Close()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "values/s")
}

func benchMembers(b *testing.B, n, indexers int) *pair {
	p := newPeers(b, n, Options{})
	for i := 1; i < n; i++ {
		p.append(0, opAdd(p.bases[i].LocalKey(), i < indexers))
		p.sync()
	}
	for range 2 {
		for _, x := range p.bases {
			if err := x.Ack(context.Background()); err != nil {
				b.Fatal(err)
			}
			p.sync()
		}
	}
	return p
}

// BenchmarkMerge brings together what 5 writers wrote apart, 200 nodes each.
func BenchmarkMerge(b *testing.B) {
	for _, indexers := range []int{3, 5} {
		b.Run(fmt.Sprint("indexers ", indexers), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				p := benchMembers(b, 5, indexers)
				for i := range p.bases {
					for n := range 200 {
						p.append(i, opPut(fmt.Sprint("key ", n), fmt.Sprint("value ", i)))
					}
				}
				b.StartTimer()
				p.sync()
				b.StopTimer()
				for _, x := range p.bases {
					x.Close()
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkReplay opens a base with 3000 nodes in a store that has nothing but
// the nodes.
func BenchmarkReplay(b *testing.B) {
	const nodes = 3000
	ctx := context.Background()
	p := newPeers(b, 1, Options{})
	for n := range nodes {
		p.append(0, opPut(fmt.Sprint("key ", n%1000), fmt.Sprint("value ", n)))
	}
	src := p.logAt(0, 0)
	defer src.Close()
	key := p.bases[0].Key()
	for b.Loop() {
		b.StopTimer()
		s, err := corestore.Open(ctx, b.TempDir(), &corestore.Options{Relaxed: true})
		if err != nil {
			b.Fatal(err)
		}
		c, err := s.Get(ctx, corestore.GetOptions{KeyPair: p.stores[0].KeyPair("local")})
		if err != nil {
			b.Fatal(err)
		}
		for i := range src.Length() {
			blk, err := src.GetRaw(ctx, i)
			if err == nil {
				_, err = c.Append(ctx, blk)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		x, err := Open(ctx, s, &key, new(testApp).handlers(), &Options{AckInterval: -time.Second, NoForward: true})
		if err != nil {
			b.Fatal(err)
		}
		if got := x.Position(); got.Signed != got.Tip || got.Tip < nodes {
			b.Fatalf("%+v", got)
		}
		b.StopTimer()
		x.Close()
		c.Close()
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(nodes*b.N)/b.Elapsed().Seconds(), "nodes/s")
}
