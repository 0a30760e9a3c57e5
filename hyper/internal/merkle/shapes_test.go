package merkle_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

func TestTreeVectors(t *testing.T) {
	var v struct {
		Trees []struct {
			Length     int
			ByteLength uint64
			Roots      [][]any
			TreeHash   hexBytes
		}
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	if len(v.Trees) == 0 {
		t.Fatal("no vectors")
	}
	w := logOf(t, 1000)
	for _, c := range v.Trees {
		tree := w.trees[c.Length]
		if tree.Length != uint64(c.Length) || tree.ByteLength != c.ByteLength || tree.Hash() != hypercrypto.Hash(c.TreeHash) {
			t.Errorf("%d: %d bytes, %s", c.Length, tree.ByteLength, tree.Hash())
		}
		for i, r := range c.Roots {
			if n := tree.Roots[i]; float64(n.Index) != r[0] || float64(n.Size) != r[1] || n.Hash.String() != r[2] {
				t.Errorf("%d: root %v, want %v", c.Length, n, r)
			}
		}
		loaded, err := merkle.Load(w.nodes, 0, uint64(c.Length))
		if err != nil || !slices.Equal(loaded.Roots, tree.Roots) || loaded.ByteLength != tree.ByteLength {
			t.Errorf("%d: loaded %v, %v", c.Length, loaded, err)
		}
	}
}

func indexes(list []merkle.Node) []uint64 {
	out := []uint64{}
	for _, n := range list {
		out = append(out, n.Index)
	}
	return out
}

type shape struct {
	Error   string
	Block   []uint64
	Hash    []uint64
	Seek    []uint64
	Upgrade *struct {
		Start, Length     uint64
		Nodes, Additional []uint64
	}
}

// shapeOf describes a proof as the vectors do.
func shapeOf(p *merkle.Proof, err error) (s shape) {
	if err != nil {
		s.Error = err.Error()
		return s
	}
	if p.Block != nil {
		s.Block = indexes(p.Block.Nodes)
	}
	if p.Hash != nil {
		s.Hash = indexes(p.Hash.Nodes)
	}
	if p.Seek != nil {
		s.Seek = indexes(p.Seek.Nodes)
	}
	if u := p.Upgrade; u != nil {
		s.Upgrade = &struct {
			Start, Length     uint64
			Nodes, Additional []uint64
		}{u.Start, u.Length, indexes(u.Nodes), indexes(u.Additional)}
	}
	return s
}

func same(got, want shape) bool {
	if (got.Error != "") != (want.Error != "") {
		return false
	}
	return got.Error != "" || show(got) == show(want)
}

// flat is a row of the tables of nodes: numbers, then a list or an error.
type flat struct {
	numbers []uint64
	lists   [][]uint64
	err     string
}

func (f *flat) UnmarshalJSON(b []byte) error {
	var row []json.RawMessage
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	for _, r := range row {
		var n uint64
		list := []uint64{}
		switch {
		case json.Unmarshal(r, &n) == nil:
			f.numbers = append(f.numbers, n)
		case json.Unmarshal(r, &list) == nil:
			f.lists = append(f.lists, list)
		default:
			if err := json.Unmarshal(r, &f.err); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestProofShapeVectors(t *testing.T) {
	var v struct {
		ByteLength21             uint64
		SeekTable                [][3]uint64
		Upgrades, Blocks, Hashes []flat
		Combos                   []struct {
			Head           int
			PrologueLength uint64
			Request        struct {
				Block, Hash *struct{ Index, Nodes uint64 }
				Seek        *merkle.SeekRequest
				Upgrade     *merkle.UpgradeRequest
			}
			Proof shape
		}
	}
	loadVectors(t, "hypercore-proof-shapes.json", &v)
	if len(v.Upgrades) != 381 || len(v.Blocks) != 135 || len(v.Hashes) != 81 || len(v.Combos) != 74 {
		t.Fatalf("%d, %d, %d, %d vectors", len(v.Upgrades), len(v.Blocks), len(v.Hashes), len(v.Combos))
	}
	w := logOf(t, 21)
	if w.head().ByteLength != v.ByteLength21 {
		t.Errorf("%d bytes", w.head().ByteLength)
	}
	for _, c := range v.SeekTable {
		pos, err := w.head().Seek(w.nodes, c[0], 0)
		if err != nil || !pos.Exact || pos.Block != c[1] || pos.Offset != c[2] {
			t.Errorf("seek %v: %+v, %v", c, pos, err)
		}
		if off, err := w.head().ByteOffset(w.nodes, 2*c[1]); err != nil || off != c[0]-c[2] {
			t.Errorf("block %d starts at %d, %v", c[1], off, err)
		}
	}
	for _, c := range v.Upgrades {
		req := &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: c.numbers[1], Length: c.numbers[2]}}
		p, err := w.trees[c.numbers[0]].Prove(w.nodes, req, 0)
		if err != nil || !slices.Equal(indexes(p.Upgrade.Nodes), c.lists[0]) || !slices.Equal(indexes(p.Upgrade.Additional), c.lists[1]) {
			t.Errorf("upgrade %v: %v, %v", c, shapeOf(p, err), err)
		}
	}
	for _, c := range v.Blocks {
		req := &merkle.Request{Block: &merkle.BlockRequest{Index: c.numbers[1], Levels: c.numbers[2]}}
		got, want := shapeOf(w.trees[c.numbers[0]].Prove(w.nodes, req, 0)), shape{Error: c.err}
		if c.err == "" {
			want.Block = c.lists[0]
		}
		if !same(got, want) {
			t.Errorf("block %v: %v", c, show(got))
		}
	}
	for _, c := range v.Hashes {
		req := &merkle.Request{Hash: &merkle.HashRequest{Index: c.numbers[1], Levels: c.numbers[2]}}
		got, want := shapeOf(w.trees[c.numbers[0]].Prove(w.nodes, req, 0)), shape{Error: c.err}
		if c.err == "" {
			want.Hash = c.lists[0]
		}
		if !same(got, want) {
			t.Errorf("hash %v: %v", c, show(got))
		}
	}
	for _, c := range v.Combos {
		req := &merkle.Request{Seek: c.Request.Seek, Upgrade: c.Request.Upgrade}
		if b := c.Request.Block; b != nil {
			req.Block = &merkle.BlockRequest{Index: b.Index, Levels: b.Nodes}
			if b.Index >= uint64(c.Head) && req.Upgrade == nil {
				c.Proof = shape{Error: "JavaScript leaves it to the caller to look whether the block is there"}
			}
		}
		if h := c.Request.Hash; h != nil {
			req.Hash = &merkle.HashRequest{Index: h.Index, Levels: h.Nodes}
		}
		if got := shapeOf(w.trees[c.Head].Prove(w.nodes, req, c.PrologueLength)); !same(got, c.Proof) {
			t.Errorf("head %d, %s:\ngot  %s\nwant %s", c.Head, show(req), show(got), show(c.Proof))
		}
	}
}
