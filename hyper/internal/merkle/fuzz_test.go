package merkle_test

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// FuzzVerify feeds messages of a stranger to readers in different states. What
// they accept has to be true.
func FuzzVerify(f *testing.F) {
	var v proofVectors
	loadVectors(f, "hypercore-proofs.json", &v)
	w := logOf(f, 9)
	for _, s := range v.Scenarios {
		if hypercrypto.Key(s.Key) != w.v.Key {
			continue
		}
		for _, st := range s.Steps {
			if st.Data != nil {
				f.Add([]byte(st.Data))
			}
		}
	}
	for _, g := range v.Reorgs {
		for _, st := range g.Steps {
			f.Add([]byte(st.Data))
		}
	}
	empty := newReader(w.v)
	five := newReader(w.v)
	five.upgrade(f, w, 5)
	nine := five.clone()
	nine.upgrade(f, w, 9)
	nine.get(f, w, 2)
	for i := range uint64(9) {
		d := wire.Data{Proof: *w.prove(f, 9, &merkle.Request{
			Seek: &merkle.SeekRequest{Bytes: 20 * i}, Upgrade: &merkle.UpgradeRequest{Start: i, Length: 9 - i},
		})}
		f.Add(d.AppendTo(nil))
	}
	all := logOf(f, 21) // of which the vectors have signed states
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := wire.DecodeData(body)
		if err != nil {
			return
		}
		for _, r := range []*reader{empty, five, nine} {
			c := r.clone()
			if err := c.apply(&d.Proof); err != nil {
				if !c.equal(r) {
					t.Fatal("refused, but the state changed")
				}
				continue
			}
			if err := c.check(all); err != nil {
				t.Fatal(err)
			}
		}
		g, err := nine.v.Reorg(nine.nodes, 9, &d.Proof)
		if err != nil {
			return
		}
		if _, err := g.Nodes(nine.nodes); err != nil || g.Ancestors() > 9 {
			t.Fatalf("%d ancestors, %v", g.Ancestors(), err)
		}
	})
}

// FuzzReorgAdd feeds answers of a stranger to a reorg that has begun.
func FuzzReorgAdd(f *testing.F) {
	var v proofVectors
	loadVectors(f, "hypercore-proofs.json", &v)
	first, err := wire.DecodeData(v.Reorgs[0].Steps[0].Data)
	if err != nil {
		f.Fatal(err)
	}
	for _, st := range v.Reorgs[0].Steps {
		f.Add([]byte(st.Data))
	}
	w := logOf(f, 9)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := wire.DecodeData(body)
		if err != nil {
			return
		}
		g, err := w.v.Reorg(w.nodes, 9, &first.Proof)
		if err != nil {
			t.Fatal(err)
		}
		if g.Add(w.nodes, &d.Proof) != nil {
			return
		}
		start, end, _, done := g.Want()
		if g.Ancestors() > 5 || !done && start >= end {
			t.Fatalf("%d ancestors, wants %d to %d", g.Ancestors(), start, end)
		}
		list, err := g.Nodes(w.nodes)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range list {
			if truth := w.nodes[n.Index]; n.Index < 10 && n.Index != 7 && n.Index != 9 && n.Hash != truth.Hash {
				t.Fatalf("node %d is wrong", n.Index)
			}
		}
	})
}

// FuzzProve feeds requests of a stranger to the prover.
func FuzzProve(f *testing.F) {
	w := logOf(f, 21)
	sparse := newReader(w.v)
	sparse.upgrade(f, w, 21)
	sparse.get(f, w, 9)
	for _, req := range []merkle.Request{
		{Block: &merkle.BlockRequest{Index: 9, Levels: 3}, Seek: &merkle.SeekRequest{Bytes: 150}},
		{Hash: &merkle.HashRequest{Index: 6, Levels: 4}, Seek: &merkle.SeekRequest{Bytes: 60, Padding: 4}},
		{Upgrade: &merkle.UpgradeRequest{Start: 3, Length: 18}, Seek: &merkle.SeekRequest{Bytes: 100, Padding: 4}},
		{Upgrade: &merkle.UpgradeRequest{Start: 3, Length: 8}, Block: &merkle.BlockRequest{Index: 7}},
	} {
		m := wire.Request{ID: 1, Request: req}
		f.Add(m.AppendTo(nil), uint64(5))
	}
	f.Fuzz(func(t *testing.T, body []byte, prologue uint64) {
		m, err := wire.DecodeRequest(body)
		if err != nil {
			return
		}
		for _, store := range []nodes{w.nodes, sparse.nodes} {
			p, err := w.head().Prove(store, &m.Request, prologue)
			if err != nil {
				continue
			}
			d := wire.Data{Proof: *p}
			if n := d.Size(); n > 64*1024 {
				t.Fatalf("a proof of %d bytes", n)
			}
			// What can be proven from the start or below the end is accepted.
			r := newReader(w.v)
			if p.Upgrade == nil {
				r.upgrade(t, w, 21)
			} else if p.Upgrade.Start > 0 {
				r.upgrade(t, w, int(p.Upgrade.Start))
			}
			if p.Upgrade != nil {
				p.Upgrade.Signature = w.signature(t, 21)
			}
			if p.Block != nil {
				p.Block.Value = w.blocks[p.Block.Index]
			}
			if err := r.apply(p); err == nil {
				if err := r.check(w); err != nil {
					t.Fatal(err)
				}
			} else if m.Block == nil && m.Hash == nil {
				t.Fatalf("%s: %v", show(p), err)
			}
		}
	})
}
