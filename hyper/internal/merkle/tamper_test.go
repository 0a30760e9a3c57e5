package merkle_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// copyProof is a copy of p that shares nothing with it.
func copyProof(p *merkle.Proof) *merkle.Proof {
	c := *p
	if p.Block != nil {
		b := *p.Block
		b.Value, b.Nodes = slices.Clone(b.Value), slices.Clone(b.Nodes)
		c.Block = &b
	}
	if p.Hash != nil {
		h := *p.Hash
		h.Nodes = slices.Clone(h.Nodes)
		c.Hash = &h
	}
	if p.Seek != nil {
		s := *p.Seek
		s.Nodes = slices.Clone(s.Nodes)
		c.Seek = &s
	}
	if p.Upgrade != nil {
		u := *p.Upgrade
		u.Nodes, u.Additional, u.Signature = slices.Clone(u.Nodes), slices.Clone(u.Additional), slices.Clone(u.Signature)
		c.Upgrade = &u
	}
	return &c
}

// lists returns the node lists of p.
func lists(p *merkle.Proof) (l []*[]merkle.Node) {
	if p.Block != nil {
		l = append(l, &p.Block.Nodes)
	}
	if p.Hash != nil {
		l = append(l, &p.Hash.Nodes)
	}
	if p.Seek != nil {
		l = append(l, &p.Seek.Nodes)
	}
	if p.Upgrade != nil {
		l = append(l, &p.Upgrade.Nodes, &p.Upgrade.Additional)
	}
	return l
}

// A forgery is a proof with one thing changed. sizes tells that only sizes are
// changed: two loose siblings may then be taken for what they say.
type forgery struct {
	name  string
	proof *merkle.Proof
	sizes bool
}

// forgeries calls yield with every proof that differs from p in one place.
func forgeries(p *merkle.Proof, yield func(forgery)) {
	change := func(name string, sizes bool, f func(p *merkle.Proof)) {
		c := copyProof(p)
		f(c)
		yield(forgery{name, c, sizes})
	}
	for l, list := range lists(p) {
		for i := range *list {
			node := func(name string, sizes bool, f func(n *merkle.Node)) {
				change(fmt.Sprintf("%s of node %d.%d", name, l, i), sizes, func(p *merkle.Proof) { f(&(*lists(p)[l])[i]) })
			}
			node("hash", false, func(n *merkle.Node) { n.Hash[i%32] ^= 1 })
			node("size up", true, func(n *merkle.Node) { n.Size++ })
			node("size down", true, func(n *merkle.Node) { n.Size-- })
			node("next index", false, func(n *merkle.Node) { n.Index++ })
			node("sibling index", false, func(n *merkle.Node) { n.Index ^= 2 })
			change(fmt.Sprintf("drop %d.%d", l, i), false, func(p *merkle.Proof) {
				*lists(p)[l] = slices.Delete(*lists(p)[l], i, i+1)
			})
			change(fmt.Sprintf("repeat %d.%d", l, i), false, func(p *merkle.Proof) {
				*lists(p)[l] = slices.Insert(*lists(p)[l], i, (*list)[i])
			})
			if i > 0 {
				change(fmt.Sprintf("swap %d.%d", l, i), false, func(p *merkle.Proof) {
					s := *lists(p)[l]
					s[i-1], s[i] = s[i], s[i-1]
				})
				change(fmt.Sprintf("shift sizes of %d.%d", l, i), true, func(p *merkle.Proof) {
					s := *lists(p)[l]
					s[i-1].Size++
					s[i].Size--
				})
			}
		}
	}
	if p.Block != nil {
		change("block index", false, func(p *merkle.Proof) { p.Block.Index++ })
		change("longer block", false, func(p *merkle.Proof) { p.Block.Value = append(p.Block.Value, 0) })
		if n := len(p.Block.Value); n > 0 {
			change("block", false, func(p *merkle.Proof) { p.Block.Value[n/2] ^= 1 })
			change("shorter block", false, func(p *merkle.Proof) { p.Block.Value = p.Block.Value[1:] })
		}
	}
	if p.Hash != nil {
		change("hash index", false, func(p *merkle.Proof) { p.Hash.Index += 2 })
	}
	if p.Upgrade != nil {
		change("start", false, func(p *merkle.Proof) { p.Upgrade.Start++ })
		change("length", false, func(p *merkle.Proof) { p.Upgrade.Length++ })
		change("shorter", false, func(p *merkle.Proof) { p.Upgrade.Length-- })
		change("signature", false, func(p *merkle.Proof) { p.Upgrade.Signature[10] ^= 1 })
		change("no signature", false, func(p *merkle.Proof) { p.Upgrade.Signature = nil })
	}
	change("fork", false, func(p *merkle.Proof) { p.Fork++ })
}

// attack feeds every forgery of an honest proof to r. What is accepted must
// leave the state that the honest proof leaves, or less than that: nothing that
// is not true.
func attack(t *testing.T, r *reader, w *world, p *merkle.Proof) {
	t.Helper()
	honest := r.clone()
	honest.must(t, p)
	if err := honest.check(w); err != nil {
		t.Fatalf("after %s: %v", show(p), err)
	}
	forgeries(p, func(f forgery) {
		c := r.clone()
		if err := c.apply(f.proof); err != nil {
			if !c.equal(r) {
				t.Fatalf("%s: refused, but the state changed", f.name)
			}
			return
		}
		if c.equal(honest) || c.equal(r) {
			return
		}
		if err := c.check(w); err != nil {
			t.Fatalf("%s is accepted: %v\n%s\nfrom %s", f.name, err, show(f.proof), show(p))
		}
		if !f.sizes {
			t.Fatalf("%s changes what is stored\n%s\nfrom %s", f.name, show(f.proof), show(p))
		}
	})
}

// sample tells whether trees of n blocks are attacked: the small ones and those
// around powers of two. The others only have to work.
func sample(n int) bool { return n <= 12 || n == 16 || n == 17 || n == 31 || n == 64 }

const largest = 64

func TestEveryBlockProof(t *testing.T) {
	w := logOf(t, largest)
	for n := 1; n <= largest; n++ {
		empty := newReader(w.v)
		empty.upgrade(t, w, n)
		all := empty.clone()
		for i := range uint64(n) {
			p := w.prove(t, n, empty.blockRequest(t, i))
			if sample(n) {
				attack(t, empty, w, p)
			}
			one := empty.clone()
			one.must(t, p)
			if err := one.check(w); err != nil {
				t.Fatalf("length %d, block %d: %v", n, i, err)
			}
			// The order 0, n-1, 1, n-2, ... meets all numbers of levels.
			j := i / 2
			if i%2 == 1 {
				j = uint64(n) - 1 - j
			}
			p = w.prove(t, n, all.blockRequest(t, j))
			if sample(n) {
				attack(t, all, w, p)
			}
			all.must(t, p)
		}
		if len(all.nodes) != 2*n-len(all.tree.Roots) {
			t.Errorf("length %d: %d nodes", n, len(all.nodes))
		}
		if err := all.check(w); err != nil {
			t.Errorf("length %d: %v", n, err)
		}
	}
}

func TestEveryHashProof(t *testing.T) {
	w := logOf(t, largest)
	for n := 1; n <= largest; n++ {
		empty := newReader(w.v)
		empty.upgrade(t, w, n)
		for x := range w.nodes {
			levels, top, err := merkle.MissingNodes(empty.nodes, x, uint64(n))
			if err != nil {
				t.Fatal(err)
			}
			p, err := w.trees[n].Prove(w.nodes, &merkle.Request{Hash: &merkle.HashRequest{Index: x, Levels: levels}}, 0)
			if inside := x|(x+1) < uint64(2*n); inside != (err == nil) {
				t.Fatalf("length %d, node %d: %v", n, x, err)
			}
			if err != nil {
				continue
			}
			if max := merkle.MaxMissingNodes(x, uint64(n)); levels != max || top.Size < w.nodes[x].Size {
				t.Fatalf("length %d, node %d: %d levels to node %v, at most %d", n, x, levels, top, max)
			}
			if sample(n) {
				attack(t, empty, w, p)
			}
			one := empty.clone()
			one.must(t, p)
			if err := one.check(w); err != nil {
				t.Fatalf("length %d, node %d: %v", n, x, err)
			}
		}
	}
}

func TestEveryUpgrade(t *testing.T) {
	w := logOf(t, largest)
	readers := make([]*reader, largest)
	readers[0] = newReader(w.v)
	for n := 1; n < largest; n++ {
		readers[n] = newReader(w.v)
		readers[n].upgrade(t, w, n)
	}
	for head := 1; head <= largest; head++ {
		for start := range head {
			for end := start + 1; end <= head; end++ {
				// Beyond 12 blocks, those that stop short of the head are spread thin.
				if head > 12 && end != head && (start*7+end*3+head)%17 != 0 {
					continue
				}
				p := w.prove(t, head, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: uint64(start), Length: uint64(end - start)}})
				if head <= 7 || sample(head) && (start+end)%29 == 0 {
					attack(t, readers[start], w, p)
				}
				r := readers[start].clone()
				r.must(t, p)
				if err := r.check(w); err != nil || r.tree.Length != uint64(head) {
					t.Fatalf("head %d, from %d to %d: length %d, %v", head, start, end, r.tree.Length, err)
				}
				// The same again, and from states in between, changes nothing.
				again := r.clone()
				if err := again.apply(p); err == nil && !again.equal(r) {
					t.Fatalf("head %d, from %d to %d: not the same twice", head, start, end)
				}
			}
		}
	}
}

func TestEveryBlockOrNodeWithUpgrade(t *testing.T) {
	w := logOf(t, 40)
	for _, head := range []int{1, 2, 3, 7, 8, 9, 16, 21, 33, 40} {
		for start := 0; start < head; start += 1 + head/16 {
			r := newReader(w.v)
			if start > 0 {
				r.upgrade(t, w, start)
			}
			up := &merkle.UpgradeRequest{Start: uint64(start), Length: uint64(head - start)}
			for i := range uint64(head) {
				req := r.blockRequest(t, i)
				req.Upgrade = up
				p := w.prove(t, head, req)
				if head <= 7 || i == uint64(head)-1 && start%5 == 0 {
					attack(t, r, w, p)
				}
				c := r.clone()
				c.must(t, p)
				if err := c.check(w); err != nil || len(c.blocks) != 1 || c.tree.Length != uint64(head) {
					t.Fatalf("head %d, from %d, block %d: %v", head, start, i, err)
				}
			}
			for x := range w.nodes {
				levels, _, err := merkle.MissingNodes(r.nodes, x, uint64(start))
				if err != nil {
					t.Fatal(err)
				}
				req := &merkle.Request{Hash: &merkle.HashRequest{Index: x, Levels: levels}, Upgrade: up}
				p, err := w.trees[head].Prove(w.nodes, req, 0)
				if err != nil {
					continue // crosses the old or the new end
				}
				p.Upgrade.Signature = w.signature(t, head)
				if head <= 3 || head <= 9 && x%5 == 3 {
					attack(t, r, w, p)
				}
				c := r.clone()
				c.must(t, p)
				if err := c.check(w); err != nil || c.tree.Length != uint64(head) {
					t.Fatalf("head %d, from %d, node %d: %v", head, start, x, err)
				}
			}
		}
	}
}
