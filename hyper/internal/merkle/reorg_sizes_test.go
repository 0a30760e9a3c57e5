package merkle_test

import (
	"bytes"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// deceived is a reader of w's head that knows the node x and its sibling with
// wrong sizes.
func deceived(t *testing.T, w *world, x uint64) *reader {
	t.Helper()
	n := len(w.blocks)
	r := newReader(w.v)
	r.upgrade(t, w, n)
	p := w.prove(t, n, &merkle.Request{Hash: &merkle.HashRequest{Index: x, Levels: merkle.MaxMissingNodes(x, uint64(n))}})
	shift(p.Hash.Nodes, 3)
	r.must(t, p)
	if r.nodes[x] == w.nodes[x] {
		t.Fatal("sizes were not shifted")
	}
	return r
}

func (w *world) node(t *testing.T, x, levels uint64) *merkle.Proof {
	t.Helper()
	return w.prove(t, len(w.blocks), &merkle.Request{Hash: &merkle.HashRequest{Index: x, Levels: levels}})
}

func (r *reader) startReorg(t *testing.T, w *world, length uint64) *merkle.Reorg {
	t.Helper()
	g, err := r.v.Reorg(r.nodes, r.tree.Length, w.prove(t, len(w.blocks), &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: length}}))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (r *reader) finish(t *testing.T, w *world, g *merkle.Reorg, kept uint64) {
	t.Helper()
	if g.Ancestors() != kept {
		t.Errorf("shares %d blocks, want %d", g.Ancestors(), kept)
	}
	r.commit(t, g)
	if err := r.check(w); err != nil {
		t.Error(err)
	}
}

func TestReorgRepairsStoredSizes(t *testing.T) {
	w := logOf(t, 8)
	o := w.forkOf(t, 6, 8)
	r := deceived(t, w, 1)
	g := r.startReorg(t, o, 8)
	// First as wrong as what is stored, then put right from below.
	bad := o.node(t, 1, 2)
	shift(bad.Hash.Nodes, 3)
	for _, p := range []*merkle.Proof{bad, o.node(t, 0, 1), o.node(t, 10, 2)} {
		if err := g.Add(r.nodes, p); err != nil {
			t.Fatal(err)
		}
	}
	r.finish(t, o, g, 4)
	if r.nodes[1] != o.nodes[1] || r.nodes[5] != o.nodes[5] {
		t.Errorf("sizes %d and %d", r.nodes[1].Size, r.nodes[5].Size)
	}
}

func TestReorgRepairsStoredSizesByAdditionalNodes(t *testing.T) {
	w := logOf(t, 8)
	o := w.forkOf(t, 8, 9)
	r := deceived(t, w, 9)
	g := r.startReorg(t, o, 5) // 8 and 10 make 9, whose sibling is 13
	r.finish(t, o, g, 8)
	if r.nodes[9] != o.nodes[9] || r.nodes[13] != o.nodes[13] {
		t.Errorf("sizes %d and %d", r.nodes[9].Size, r.nodes[13].Size)
	}
}

// TestReorgBringsNodesThatAreCut: the logs differ in the first block only. All
// of the old log goes, also the nodes that are equal.
func TestReorgBringsNodesThatAreCut(t *testing.T) {
	w := logOf(t, 8)
	blocks := append([][]byte{[]byte("another")}, w.blocks[1:]...)
	o := grow(t, 1, blocks)
	r := newReader(w.v)
	r.upgrade(t, w, 8)
	for i := range w.blocks {
		r.get(t, w, uint64(i))
	}
	g := r.startReorg(t, o, 8)
	if err := g.Add(r.nodes, o.node(t, 0, 3)); err != nil {
		t.Fatal(err)
	}
	r.finish(t, o, g, 0)
	if !bytes.Equal(r.sig, o.signature(t, 8)) {
		t.Error("signature of the old log")
	}
}
