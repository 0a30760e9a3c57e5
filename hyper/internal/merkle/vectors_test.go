package merkle_test

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// state is a log as the vectors describe it.
type state struct {
	Length, Fork, ByteLength uint64
	TreeHash                 hexBytes
	Roots, Nodes, Blocks     []uint64
	Signature                *string
	Manifest                 bool
}

func (r *reader) compare(t *testing.T, name string, want *state) {
	t.Helper()
	tree := &r.tree
	if tree.Length != want.Length || tree.Fork != want.Fork || tree.ByteLength != want.ByteLength {
		t.Errorf("%s: length %d, fork %d, %d bytes; want %+v", name, tree.Length, tree.Fork, tree.ByteLength, want)
	}
	if tree.Hash() != hypercrypto.Hash(want.TreeHash) || !slices.Equal(indexes(tree.Roots), want.Roots) {
		t.Errorf("%s: tree %s, roots %v; want %+v", name, tree.Hash(), indexes(tree.Roots), want)
	}
	if got := slices.Sorted(maps.Keys(r.nodes)); !slices.Equal(got, want.Nodes) {
		t.Errorf("%s: nodes %v, want %v", name, got, want.Nodes)
	}
	if got := slices.Sorted(maps.Keys(r.blocks)); !slices.Equal(got, want.Blocks) {
		t.Errorf("%s: blocks %v, want %v", name, got, want.Blocks)
	}
	prefix := ""
	if want.Signature != nil {
		prefix = strings.TrimSuffix(*want.Signature, "..")
	}
	if got := hex.EncodeToString(r.sig); !strings.HasPrefix(got, prefix) || (got == "") != (prefix == "") {
		t.Errorf("%s: signature %s, want %s", name, got, prefix)
	}
	if (r.v.Rules != nil) != want.Manifest {
		t.Errorf("%s: manifest known: %v", name, r.v.Rules != nil)
	}
}

type proofVectors struct {
	Scenarios []struct {
		Name          string
		Key, Manifest hexBytes
		Steps         []struct {
			Note    string
			Data    hexBytes
			Verdict json.RawMessage
			After   *state
		}
	}
	Reorgs []struct {
		Name   string
		Key    hexBytes
		Before state
		Steps  []struct {
			Data  hexBytes
			State struct {
				Ancestors, Length, Fork uint64
				Want                    *struct{ Nodes, Start, End uint64 }
				Diff                    *uint64
				Finished                bool
			}
		}
		After state
	}
}

func TestScenarioVectors(t *testing.T) {
	var v proofVectors
	loadVectors(t, "hypercore-proofs.json", &v)
	if len(v.Scenarios) != 8 || len(v.Reorgs) != 2 {
		t.Fatalf("%d and %d vectors", len(v.Scenarios), len(v.Reorgs))
	}
	for _, s := range v.Scenarios {
		t.Run(s.Name, func(t *testing.T) {
			r := newReader(merkle.Verifier{Key: hypercrypto.Key(s.Key)})
			for _, st := range s.Steps {
				if st.Data == nil {
					continue
				}
				d, err := wire.DecodeData(st.Data)
				if err != nil {
					t.Fatal(err)
				}
				err = r.apply(&d.Proof)
				if accepted := string(st.Verdict) == "true"; accepted != (err == nil) {
					t.Errorf("%s %x: %v, want %s", st.Note, st.Data, err, st.Verdict)
				}
				r.compare(t, st.Note, st.After)
			}
		})
	}
}

// TestShiftedSizesAreRepaired follows the vector in which bytes move between
// two siblings that are known by hash only.
func TestShiftedSizesAreRepaired(t *testing.T) {
	var v proofVectors
	loadVectors(t, "hypercore-proofs.json", &v)
	w := logOf(t, 9)
	found := false
	for _, s := range v.Scenarios {
		r := newReader(merkle.Verifier{Key: hypercrypto.Key(s.Key)})
		for _, st := range s.Steps {
			if st.Data == nil {
				continue
			}
			d, err := wire.DecodeData(st.Data)
			if err != nil {
				t.Fatal(err)
			}
			// What is refused is part of the story too.
			if err := r.apply(&d.Proof); err != nil {
				continue
			}
			switch {
			case strings.Contains(st.Note, "NOT detected"):
				found = true
				if r.nodes[4].Size == w.nodes[4].Size || r.nodes[4].Size+r.nodes[6].Size != w.nodes[5].Size {
					t.Errorf("sizes are not shifted: %d, %d", r.nodes[4].Size, r.nodes[6].Size)
				}
			case strings.Contains(st.Note, "repairs leaf 4"):
				if r.nodes[4] != w.nodes[4] || r.nodes[6] != w.nodes[6] {
					t.Errorf("sizes are not repaired: %d, %d", r.nodes[4].Size, r.nodes[6].Size)
				}
			}
		}
	}
	if !found {
		t.Error("no such vector")
	}
}

func TestReorgVectors(t *testing.T) {
	var v proofVectors
	loadVectors(t, "hypercore-proofs.json", &v)
	for _, s := range v.Reorgs {
		t.Run(s.Name, func(t *testing.T) {
			w := logOf(t, int(s.Before.Length))
			r := newReader(w.v)
			r.upgrade(t, w, len(w.blocks))
			for i := range w.blocks {
				r.get(t, w, uint64(i))
			}
			r.compare(t, "before", &s.Before)
			var g *merkle.Reorg
			for i, st := range s.Steps {
				d, err := wire.DecodeData(st.Data)
				if err != nil {
					t.Fatal(err)
				}
				if g == nil {
					g, err = r.v.Reorg(r.nodes, r.tree.Length, &d.Proof)
				} else {
					err = g.Add(r.nodes, &d.Proof)
				}
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				start, end, levels, done := g.Want()
				want := st.State
				if done != want.Finished || g.Ancestors() != want.Ancestors || g.Tree.Length != want.Length || g.Tree.Fork != want.Fork {
					t.Errorf("step %d: finished %v, ancestors %d, length %d; want %+v", i, done, g.Ancestors(), g.Tree.Length, want)
				}
				if want.Want != nil && (start != want.Want.Start || end != want.Want.End || levels != want.Want.Nodes) {
					t.Errorf("step %d: wants %d to %d, %d levels; want %+v", i, start, end, levels, want.Want)
				}
			}
			r.commit(t, g)
			r.compare(t, "after", &s.After)
		})
	}
}

// commit replaces the log by the result of a reorg.
func (r *reader) commit(t testing.TB, g *merkle.Reorg) {
	t.Helper()
	cut := g.Ancestors()
	fresh, err := g.Nodes(r.nodes)
	if err != nil {
		t.Fatal(err)
	}
	for x := range r.nodes {
		if flattree.RightSpan(x) >= 2*cut {
			delete(r.nodes, x)
		}
	}
	for i := range r.blocks {
		if i >= cut {
			delete(r.blocks, i)
		}
	}
	for _, n := range fresh {
		r.nodes[n.Index] = n
	}
	r.tree, r.sig = g.Tree, g.Signature
}
