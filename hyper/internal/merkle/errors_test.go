package merkle_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

var errDisk = errors.New("disk on fire")

// failing is a store of which one read fails.
type failing struct {
	nodes
	left int
}

func (f *failing) Node(x uint64) (merkle.Node, bool, error) {
	if f.left--; f.left < 0 {
		return merkle.Node{}, false, errDisk
	}
	return f.nodes.Node(x)
}

// TestErrorsOfTheStoreComeThrough lets every read fail in turn.
func TestErrorsOfTheStoreComeThrough(t *testing.T) {
	w := logOf(t, 21)
	tree := w.head()
	full := nodes(w.nodes)
	r := newReader(w.v)
	r.upgrade(t, w, 21)
	r.get(t, w, 4)
	o := w.forkOf(t, 13, 22)
	reorg := o.prove(t, 22, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 9}})
	loose := deceived(t, w, 0)
	for name, c := range map[string]struct {
		nodes nodes
		run   func(r merkle.Reader) error
	}{
		"load":    {full, func(r merkle.Reader) error { _, err := merkle.Load(r, 0, 21); return err }},
		"offset":  {full, func(r merkle.Reader) error { _, err := tree.ByteOffset(r, 26); return err }},
		"seek":    {full, func(r merkle.Reader) error { _, err := tree.Seek(r, 200, 0); return err }},
		"grow":    {full, func(r merkle.Reader) error { _, err := merkle.CanGrowFrom(r, 21); return err }},
		"missing": {r.nodes, func(r merkle.Reader) error { _, _, err := merkle.MissingNodes(r, 20, 21); return err }},
		"prove": {full, func(r merkle.Reader) error {
			_, err := tree.Prove(r, &merkle.Request{
				Block: &merkle.BlockRequest{Index: 9, Levels: 3}, Seek: &merkle.SeekRequest{Bytes: 200},
				Upgrade: &merkle.UpgradeRequest{Start: 16, Length: 4},
			}, 0)
			return err
		}},
		"prove a seek": {full, func(r merkle.Reader) error {
			_, err := tree.Prove(r, &merkle.Request{Seek: &merkle.SeekRequest{Bytes: 200}, Upgrade: &merkle.UpgradeRequest{Length: 21}}, 0)
			return err
		}},
		"verify": {r.nodes, func(rd merkle.Reader) error {
			_, err := r.v.Verify(&r.tree, rd, w.prove(t, 21, &merkle.Request{Hash: &merkle.HashRequest{Index: 20, Levels: 4}}))
			return err
		}},
		"repair": {loose.nodes, func(rd merkle.Reader) error {
			_, err := loose.v.Verify(&loose.tree, rd, w.prove(t, 21, loose.blockRequest(t, 0)))
			return err
		}},
		"reorg": {r.nodes, func(rd merkle.Reader) error {
			g, err := r.v.Reorg(rd, 21, reorg)
			if err != nil {
				return err
			}
			if err := g.Add(rd, o.prove(t, 22, &merkle.Request{Hash: &merkle.HashRequest{Index: 2, Levels: 4}})); err != nil {
				return err
			}
			_, err = g.Nodes(rd)
			return err
		}},
	} {
		reads := 0
		for ; ; reads++ {
			err := c.run(&failing{c.nodes, reads})
			if err == nil {
				break
			}
			if !errors.Is(err, errDisk) {
				t.Errorf("%s, read %d: %v", name, reads, err)
				break
			}
		}
		if reads == 0 {
			t.Errorf("%s reads nothing", name)
		}
	}
}

func TestMissingNodesAreNamed(t *testing.T) {
	w := logOf(t, 21)
	r := newReader(w.v)
	r.upgrade(t, w, 21)
	for name, err := range map[string]error{
		"load":   second(merkle.Load(r.nodes, 0, 19)),
		"offset": second(r.tree.ByteOffset(r.nodes, 6)),
		"prove":  second(r.tree.Prove(r.nodes, &merkle.Request{Block: &merkle.BlockRequest{Index: 3, Levels: 2}}, 0)),
		"below":  second(r.tree.Prove(r.nodes, &merkle.Request{Hash: &merkle.HashRequest{Index: 1}, Seek: &merkle.SeekRequest{Bytes: 9}}, 0)),
		"within": second(r.tree.Prove(r.nodes, &merkle.Request{Seek: &merkle.SeekRequest{Bytes: 9}, Upgrade: &merkle.UpgradeRequest{Length: 19}}, 0)),
	} {
		if !errors.Is(err, merkle.ErrMissingNode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ok, err := merkle.CanGrowFrom(r.nodes, 19); ok || err != nil {
		t.Errorf("can grow from 19: %v, %v", ok, err)
	}
	if ok, err := merkle.CanGrowFrom(r.nodes, 16); !ok || err != nil {
		t.Errorf("cannot grow from 16: %v, %v", ok, err)
	}
	if levels, top, err := merkle.MissingNodes(nodes{}, 0, 4); levels != 3 || top.Size != 0 || err != nil {
		t.Errorf("store without roots: %d levels, %v, %v", levels, top, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestRequestsAtTheLimits: no request makes the prover loop or overflow.
func TestRequestsAtTheLimits(t *testing.T) {
	w := logOf(t, 21)
	limits := []uint64{0, 1, 20, 21, 22, 41, 1<<52 - 1, 1 << 52, 1<<53 - 2, compact.MaxUint}
	for _, a := range limits {
		for _, b := range limits {
			for _, req := range []merkle.Request{
				{Block: &merkle.BlockRequest{Index: a, Levels: b}},
				{Hash: &merkle.HashRequest{Index: a, Levels: b}},
				{Upgrade: &merkle.UpgradeRequest{Start: a, Length: b}},
				{Seek: &merkle.SeekRequest{Bytes: a, Padding: b}, Upgrade: &merkle.UpgradeRequest{Length: 21}},
				{Seek: &merkle.SeekRequest{Bytes: a, Padding: b}, Block: &merkle.BlockRequest{Index: 9, Levels: 3}},
				{Block: &merkle.BlockRequest{Index: a}, Upgrade: &merkle.UpgradeRequest{Start: b, Length: 1}},
			} {
				if _, err := w.head().Prove(w.nodes, &req, 0); err != nil && !errors.Is(err, merkle.ErrInvalidRequest) && !errors.Is(err, merkle.ErrMissingNode) {
					t.Errorf("%s: %v", show(req), err)
				}
			}
			if _, err := w.head().Seek(w.nodes, a, b); err != nil && !errors.Is(err, merkle.ErrBeyondEnd) {
				t.Errorf("seek %d, %d: %v", a, b, err)
			}
			if _, _, err := merkle.MissingNodes(w.nodes, a, b/2); err != nil {
				t.Errorf("missing %d, %d: %v", a, b, err)
			}
			if levels := merkle.MaxMissingNodes(a, b/2); levels > 53 {
				t.Errorf("missing %d, %d: %d levels", a, b, levels)
			}
		}
	}
}

// TestProofsAtTheLimits: numbers that only a liar sends are errors.
func TestProofsAtTheLimits(t *testing.T) {
	w := logOf(t, 5)
	r := newReader(w.v)
	r.upgrade(t, w, 5)
	limits := []uint64{1<<52 - 1, 1 << 52, 1<<53 - 3, 1<<53 - 2, compact.MaxUint, 1 << 53, 1<<63 - 1, 1<<64 - 2, 1<<64 - 1}
	for _, a := range limits {
		for _, b := range append(limits, 0, 1) {
			pair := []merkle.Node{{Index: a, Size: b}, {Index: a ^ 2, Size: b}, {Index: a, Size: 1}}
			wide := []merkle.Node{{Index: 10, Size: a}, {Index: 12, Size: b}}
			for i, p := range []merkle.Proof{
				{Block: &merkle.BlockPart{Index: a}},
				{Block: &merkle.BlockPart{Index: a / 2, Nodes: pair}},
				{Block: &merkle.BlockPart{Index: 4, Nodes: []merkle.Node{{Index: 10, Size: a}}}},
				{Hash: &merkle.HashPart{Index: a, Nodes: pair}},
				{Hash: &merkle.HashPart{Index: 8, Nodes: []merkle.Node{{Index: 8, Size: a}, {Index: 10, Size: b}}}},
				{Seek: &merkle.SeekPart{Nodes: pair}},
				{Upgrade: &merkle.UpgradePart{Start: a, Length: b}},
				{Upgrade: &merkle.UpgradePart{Start: 5, Length: b, Nodes: pair}},
				{Upgrade: &merkle.UpgradePart{Start: 5, Length: 2, Nodes: wide}},
				{Upgrade: &merkle.UpgradePart{Start: 5, Length: 1, Nodes: wide[:1], Additional: pair}},
			} {
				c := r.clone()
				err := c.apply(&p)
				if err == nil && c.equal(r) && p.Upgrade != nil && p.Upgrade.Start+p.Upgrade.Length <= 5 {
					continue // wraps around to an upgrade that says nothing new
				}
				if err == nil {
					t.Errorf("%d: %s is accepted", i, show(p))
				}
				if p.Upgrade != nil {
					if _, err := r.v.Full(&p); err == nil {
						t.Errorf("%d: %s is accepted", i, show(p))
					}
				}
			}
		}
	}
}

func TestEmptyProofSaysNothing(t *testing.T) {
	w := logOf(t, 5)
	r := newReader(w.v)
	r.upgrade(t, w, 5)
	c := r.clone()
	c.must(t, &merkle.Proof{})
	c.must(t, &merkle.Proof{Seek: &merkle.SeekPart{Bytes: 7}})
	if !c.equal(r) {
		t.Error("the state changed")
	}
	empty := logOf(t, 0)
	p, err := empty.head().Prove(empty.nodes, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 9}}, 0)
	if err != nil || p.Upgrade != nil {
		t.Errorf("empty log: %v, %v", p, err)
	}
}

func TestAppendPanicsOnOwnMistake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a node in the wrong place is appended")
		}
	}()
	tree := merkle.Tree{}
	tree.Append(merkle.Leaf(1, nil), nil)
}

func ExampleTree_Append() {
	var tree merkle.Tree
	for i, block := range []string{"hello", "wide", "world"} {
		added := tree.Append(merkle.Leaf(uint64(i), []byte(block)), nil)
		fmt.Println(len(added), "new nodes,", len(tree.Roots), "roots,", tree.ByteLength, "bytes")
	}
	// Output:
	// 1 new nodes, 1 roots, 5 bytes
	// 2 new nodes, 1 roots, 9 bytes
	// 1 new nodes, 2 roots, 14 bytes
}
