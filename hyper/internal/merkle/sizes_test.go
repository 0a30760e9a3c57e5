package merkle_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"pgregory.net/rapid"
)

// lie gives r a proof of some nodes in which bytes are moved between siblings,
// of any place and height, whether r asked for it or not.
func (r *reader) lie(t testing.TB, w *world, rng *rand.Rand) {
	n := r.tree.Length
	for {
		x := rng.Uint64N(2 * n)
		max := merkle.MaxMissingNodes(x, n)
		levels := uint64(0)
		if max > 0 {
			levels = rng.Uint64N(max + 1)
		}
		req := &merkle.Request{Hash: &merkle.HashRequest{Index: x, Levels: levels}}
		if rng.IntN(2) == 0 {
			req.Seek = &merkle.SeekRequest{Bytes: rng.Uint64N(r.tree.ByteLength + 1)}
		}
		p, err := w.trees[n].Prove(w.nodes, req, 0)
		if err != nil {
			continue // crosses the end, or seeks elsewhere
		}
		by := rng.Uint64N(9)
		shift(p.Hash.Nodes, by)
		if p.Seek != nil {
			shift(p.Seek.Nodes, by)
		}
		// It may be refused: then it did not fit to what r has.
		if r.apply(p) == nil {
			if err := r.check(w); err != nil {
				t.Fatalf("after %s: %v", show(p), err)
			}
		}
		return
	}
}

// TestSizesBecomeTrue: whatever a peer says about sizes, every block of an
// honest peer is accepted, everything held can be proven at any time, and once
// all blocks are there all sizes are true.
func TestSizesBecomeTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 48).Draw(rt, "length")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		w := logOf(t, n)
		r := newReader(w.v)
		first := rapid.IntRange(1, n).Draw(rt, "first")
		// The first upgrade may be answered short, with loose additional nodes.
		p := w.prove(t, n, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: uint64(first)}})
		shiftLoose(append(pointers(p.Upgrade.Nodes), pointers(p.Upgrade.Additional)...))
		r.must(t, p)
		if err := r.check(w); err != nil {
			rt.Fatal(err)
		}
		for _, i := range rng.Perm(n) {
			for range rng.IntN(4) {
				r.lie(t, w, rng)
			}
			r.get(t, w, uint64(i))
			if err := r.check(w); err != nil {
				rt.Fatal(err)
			}
			if rng.IntN(12) == 0 {
				r.lie(t, w, rng)
				if err := r.serves(t, w); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for range 10 {
			r.lie(t, w, rng)
		}
		for x, truth := range w.nodes {
			if flattree.RightSpan(x) < uint64(2*n) && r.nodes[x] != truth {
				rt.Fatalf("node %d is %v, want %v", x, r.nodes[x], truth)
			}
		}
	})
}

// TestTrueSizeIsKept is the smallest case: node 2 came with the proof of block
// 0, then a peer sends both leaves with other sizes.
func TestTrueSizeIsKept(t *testing.T) {
	w := logOf(t, 4)
	r := newReader(w.v)
	r.upgrade(t, w, 4)
	r.get(t, w, 0)
	p := w.prove(t, 4, &merkle.Request{Hash: &merkle.HashRequest{Index: 2, Levels: 2}})
	shift(p.Hash.Nodes, 3)
	before := r.clone()
	if err := r.apply(p); err != nil {
		t.Fatal(err)
	}
	if !r.equal(before) {
		t.Errorf("sizes %d and %d", r.nodes[0].Size, r.nodes[2].Size)
	}
	if err := r.serves(t, w); err != nil {
		t.Error(err)
	}
}
