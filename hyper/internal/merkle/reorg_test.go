package merkle_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"pgregory.net/rapid"
)

// forkOf is a log that shares the first blocks with w and goes on otherwise, on
// the next fork.
func (w *world) forkOf(t testing.TB, shared, length int) *world {
	blocks := append([][]byte{}, w.blocks[:shared]...)
	for i := shared; i < length; i++ {
		blocks = append(blocks, fmt.Appendf(nil, "other block %d", i))
	}
	return grow(t, 1, blocks)
}

// shift moves bytes between the first two nodes of a list, which is what a peer
// can do unnoticed.
func shift(list []merkle.Node, by uint64) {
	if len(list) > 1 && list[0].Size >= by {
		list[0].Size -= by
		list[1].Size += by
	}
}

// follow takes r to the head of w, a higher fork, and returns how many blocks
// it kept. evil spoils the proofs on the way.
func (r *reader) follow(t testing.TB, w *world, rng *rand.Rand, evil bool) uint64 {
	t.Helper()
	head := len(w.blocks)
	start := uint64(head)
	if evil {
		start = uint64(rng.IntN(head)) + 1 // a shorter answer has additional nodes
	}
	p := w.prove(t, head, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: start}})
	if evil {
		all := append(append([]*merkle.Node{}, pointers(p.Upgrade.Nodes)...), pointers(p.Upgrade.Additional)...)
		shiftLoose(all)
	}
	g, err := r.v.Reorg(r.nodes, r.tree.Length, p)
	if err != nil {
		t.Fatal(err)
	}
	before := g.Ancestors()
	for round := 0; ; round++ {
		start, end, levels, done := g.Want()
		if done {
			break
		}
		if round > 64 || start >= end || end > r.tree.Length {
			t.Fatalf("round %d: wants %d to %d", round, start, end)
		}
		b := start + rng.Uint64N(end-start)
		p := w.prove(t, head, &merkle.Request{Hash: &merkle.HashRequest{Index: 2 * b, Levels: levels}})
		if evil {
			shift(p.Hash.Nodes, 3)
			for range rng.IntN(6) {
				spoil(t, g, r, w, rng)
			}
		}
		if err := g.Add(r.nodes, p); err != nil {
			t.Fatal(err)
		}
		if g.Ancestors() < before {
			t.Fatalf("ancestors fell from %d to %d", before, g.Ancestors())
		}
		before = g.Ancestors()
	}
	r.commit(t, g)
	return g.Ancestors()
}

// spoil adds an answer that nobody asked for, for any node or, often, for one
// that is known already.
func spoil(t testing.TB, g *merkle.Reorg, r *reader, w *world, rng *rand.Rand) {
	x := rng.Uint64N(2 * g.Tree.Length)
	if rng.IntN(4) > 0 {
		known, err := g.Nodes(nodes{})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(known, func(a, b merkle.Node) int { return cmp.Compare(a.Index, b.Index) })
		x = known[rng.IntN(len(known))].Index
	}
	levels := rng.Uint64N(merkle.MaxMissingNodes(x, g.Tree.Length) + 1)
	req := &merkle.Request{Hash: &merkle.HashRequest{Index: x, Levels: levels}}
	if rng.IntN(2) == 0 {
		req.Seek = &merkle.SeekRequest{Bytes: rng.Uint64N(g.Tree.ByteLength + 1)}
	}
	p, err := g.Tree.Prove(w.nodes, req, 0)
	if err != nil {
		return // crosses the end, or seeks elsewhere
	}
	if rng.IntN(2) == 0 {
		shift(p.Hash.Nodes, rng.Uint64N(9))
	}
	if p.Seek != nil {
		shift(p.Seek.Nodes, rng.Uint64N(9))
	}
	before := g.Ancestors()
	if g.Add(r.nodes, p) != nil && g.Ancestors() != before {
		t.Fatal("a refused answer changed the reorg")
	}
}

func pointers(list []merkle.Node) (out []*merkle.Node) {
	for i := range list {
		out = append(out, &list[i])
	}
	return out
}

// shiftLoose moves a byte between every two neighbours that are siblings.
func shiftLoose(list []*merkle.Node) {
	for i := 1; i < len(list); i++ {
		if flattree.Sibling(list[i].Index) == list[i-1].Index && list[i].Size > 0 {
			list[i].Size--
			list[i-1].Size++
		}
	}
}

func TestReorgOfFullLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for old := 1; old <= 40; old++ {
		w := logOf(t, old)
		full := newReader(w.v)
		full.upgrade(t, w, old)
		for i := range w.blocks {
			full.get(t, w, uint64(i))
		}
		for range 4 {
			shared := rng.IntN(old + 1)
			length := max(1, shared+rng.IntN(24)*rng.IntN(2))
			o := w.forkOf(t, shared, length)
			r := full.clone()
			if kept := r.follow(t, o, rng, false); kept != uint64(min(shared, length)) {
				t.Fatalf("%d blocks, fork at %d to %d: kept %d", old, shared, length, kept)
			}
			if err := r.check(o); err != nil {
				t.Fatalf("%d blocks, fork at %d to %d: %v", old, shared, length, err)
			}
			if err := r.serves(t, o); err != nil {
				t.Fatalf("%d blocks, fork at %d to %d: %v", old, shared, length, err)
			}
		}
	}
}

func TestReorgOfSparseLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old := rapid.IntRange(1, 64).Draw(rt, "old")
		shared := rapid.IntRange(0, old).Draw(rt, "shared")
		length := max(1, rapid.IntRange(shared, 64).Draw(rt, "length"))
		evil := rapid.Bool().Draw(rt, "evil")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		w := logOf(t, old)
		o := w.forkOf(t, shared, length)
		r := newReader(w.v)
		r.upgrade(t, w, rapid.IntRange(1, old).Draw(rt, "first"))
		if int(r.tree.Length) < old {
			r.upgrade(t, w, old)
		}
		for _, i := range rapid.SliceOfN(rapid.Uint64Range(0, uint64(old-1)), 0, 20).Draw(rt, "blocks") {
			if evil && rng.IntN(2) == 0 {
				r.lie(t, w, rng)
			}
			r.get(t, w, i)
		}
		kept := r.follow(t, o, rng, evil)
		if kept > uint64(min(shared, length)) {
			rt.Fatalf("kept %d, shared %d", kept, shared)
		}
		if err := r.check(o); err != nil {
			rt.Fatal(err)
		}
		if err := r.serves(t, o); err != nil {
			rt.Fatal(err)
		}
		// The new log can be read to the end and then has true sizes.
		for i := range o.blocks {
			r.get(t, o, uint64(i))
		}
		for x, n := range r.nodes {
			if n != o.nodes[x] {
				rt.Fatalf("node %d is %v, want %v", x, n, o.nodes[x])
			}
		}
	})
}

func TestReorgRefusesForgeries(t *testing.T) {
	w := logOf(t, 9)
	o := w.forkOf(t, 5, 11)
	r := newReader(w.v)
	r.upgrade(t, w, 9)
	for i := range w.blocks {
		r.get(t, w, uint64(i))
	}
	for _, end := range []uint64{11, 5} {
		p := o.prove(t, 11, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: end}, Hash: &merkle.HashRequest{Index: 8}})
		forgeries(p, func(f forgery) {
			g, err := r.v.Reorg(r.nodes, r.tree.Length, f.proof)
			if err != nil {
				return
			}
			if g.Tree.Hash() != o.head().Hash() || g.Tree.Fork != 1 {
				t.Errorf("%s: another tree", f.name)
			}
			c := r.clone()
			c.commit(t, g)
			if err := c.check(o); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		})
	}
	p := o.prove(t, 11, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 11}})
	add := o.prove(t, 11, &merkle.Request{Hash: &merkle.HashRequest{Index: 0, Levels: 3}})
	forgeries(add, func(f forgery) {
		g, err := r.v.Reorg(r.nodes, r.tree.Length, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Add(r.nodes, f.proof); err != nil {
			if g.Ancestors() != 0 {
				t.Errorf("%s: refused, but the state changed", f.name)
			}
			return
		}
		c := r.clone()
		c.commit(t, g)
		if err := c.check(o); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	})
}

func TestReorgErrors(t *testing.T) {
	w := logOf(t, 9)
	o := w.forkOf(t, 5, 11)
	r := newReader(w.v)
	r.upgrade(t, w, 9)
	up := &merkle.UpgradeRequest{Length: 11}
	g, err := r.v.Reorg(r.nodes, 9, o.prove(t, 11, &merkle.Request{Upgrade: up}))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Add(r.nodes, &merkle.Proof{Fork: 1}); !errors.Is(err, merkle.ErrOperation) {
		t.Errorf("empty answer: %v", err)
	}
	if err := g.Add(r.nodes, o.prove(t, 11, &merkle.Request{Hash: &merkle.HashRequest{}})); !errors.Is(err, merkle.ErrOperation) {
		t.Errorf("answer that climbs too little: %v", err)
	}
	if err := g.Add(r.nodes, w.prove(t, 9, &merkle.Request{Hash: &merkle.HashRequest{Index: 8, Levels: 2}})); err == nil {
		t.Error("answer of the old fork is accepted")
	}
	if _, err := r.v.Full(&merkle.Proof{}); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("no upgrade: %v", err)
	}
	p := o.prove(t, 11, &merkle.Request{Upgrade: up})
	p.Hash = &merkle.HashPart{Index: 0, Nodes: []merkle.Node{o.nodes[0]}}
	if _, err := r.v.Full(p); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("node that leads nowhere: %v", err)
	}
	p.Hash.Nodes = nil
	if _, err := r.v.Full(p); !errors.Is(err, merkle.ErrOperation) {
		t.Errorf("hash part without nodes: %v", err)
	}
}

// TestFullProofStandsForItself: a reader of nothing can check it, with the
// manifest in the proof.
func TestFullProofStandsForItself(t *testing.T) {
	w := logOf(t, 9)
	p := w.prove(t, 9, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 5}})
	v := merkle.Verifier{Key: w.v.Key}
	if _, err := v.Full(p); !errors.Is(err, merkle.ErrSignature) {
		t.Errorf("without a manifest: %v", err)
	}
	p.Manifest = w.v.Rules.Manifest()
	g, err := v.Full(p)
	if err != nil || g.Tree.Length != 9 || g.Change.Rules == nil {
		t.Fatalf("%+v, %v", g, err)
	}
	list, err := g.Nodes(nodes{})
	if err != nil || len(list) < len(p.Upgrade.Nodes)+len(p.Upgrade.Additional) {
		t.Errorf("%d nodes, %v", len(list), err)
	}
}

// TestNodesBeyondTheEndDoNotCount: nodes of a longer history that were left behind
// do not make a shorter log know more than its state says.
func TestNodesBeyondTheEndDoNotCount(t *testing.T) {
	w := logOf(t, 9)
	r := newReader(w.v)
	r.upgrade(t, w, 9)
	r.get(t, w, 8)
	short := newReader(w.v)
	short.upgrade(t, w, 5)
	p := w.prove(t, 9, &merkle.Request{Block: &merkle.BlockRequest{Index: 8}})
	for x, n := range r.nodes {
		short.nodes[x] = n
	}
	if err := short.apply(p); !errors.Is(err, merkle.ErrOperation) {
		t.Errorf("block beyond the end: %v", err)
	}
	o := w.forkOf(t, 9, 12)
	g, err := short.v.Reorg(short.nodes, 5, o.prove(t, 12, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 12}}))
	if err != nil {
		t.Fatal(err)
	}
	if g.Ancestors() > 5 {
		t.Errorf("shares %d of 5 blocks", g.Ancestors())
	}
}
