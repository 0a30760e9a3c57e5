package merkle_test

import (
	"fmt"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

func BenchmarkAppend1000(b *testing.B) {
	w := logOf(b, 1000)
	leaves := make([]merkle.Node, 1000)
	for i := range leaves {
		leaves[i] = w.nodes[uint64(2*i)]
	}
	out := make([]merkle.Node, 0, 2000)
	b.ReportAllocs()
	for b.Loop() {
		var tree merkle.Tree
		out = out[:0]
		for _, n := range leaves {
			out = tree.Append(n, out)
		}
	}
}

func BenchmarkVerifyBlock(b *testing.B) {
	w := logOf(b, 1024)
	for _, levels := range []uint64{0, 1, 2, 10} {
		b.Run(fmt.Sprintf("%dnodes", levels), func(b *testing.B) {
			r := newReader(w.v)
			r.upgrade(b, w, 1024)
			// The reader knows the tree down to that many levels above the leaves.
			for x, n := range w.nodes {
				if flattree.Depth(x) >= uint(levels) {
					r.nodes[x] = n
				}
			}
			p := w.prove(b, 1024, r.blockRequest(b, 700))
			if uint64(len(p.Block.Nodes)) != levels {
				b.Fatalf("%d nodes", len(p.Block.Nodes))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.v.Verify(&r.tree, r.nodes, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyBlock64KiB(b *testing.B) {
	w := grow(b, 0, [][]byte{make([]byte, 65536), make([]byte, 65536)})
	r := newReader(w.v)
	r.upgrade(b, w, 2)
	p := w.prove(b, 2, r.blockRequest(b, 0))
	b.SetBytes(65536)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.v.Verify(&r.tree, r.nodes, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyUpgrade(b *testing.B) {
	w := logOf(b, 1023)
	r := newReader(w.v)
	r.upgrade(b, w, 1022)
	p := w.prove(b, 1023, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: 1022, Length: 1}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.v.Verify(&r.tree, r.nodes, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProve(b *testing.B) {
	w := logOf(b, 1024)
	for _, levels := range []uint64{0, 1, 2, 10} {
		b.Run(fmt.Sprintf("block-%dnodes", levels), func(b *testing.B) {
			req := &merkle.Request{Block: &merkle.BlockRequest{Index: 700, Levels: levels}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.head().Prove(w.nodes, req, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("upgrade", func(b *testing.B) {
		req := &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: 700, Length: 324}}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.head().Prove(w.nodes, req, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
