package merkle_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// nodes is a store of tree nodes.
type nodes map[uint64]merkle.Node

func (m nodes) Node(x uint64) (merkle.Node, bool, error) {
	n, ok := m[x]
	return n, ok, nil
}

// testBlock is block i of the log that the vectors use.
func testBlock(i int) []byte {
	b := fmt.Appendf(nil, "block-%d|", i)
	for range i * 7 % 23 {
		b = append(b, byte(i%251))
	}
	return b
}

func testKeyPair(b byte) *hypercrypto.KeyPair {
	return hypercrypto.KeyPairFromSeed([32]byte(bytes.Repeat([]byte{b}, 32)))
}

// A world is the truth about a log: its blocks, and every node and state it had
// on the way.
type world struct {
	kp     *hypercrypto.KeyPair
	v      merkle.Verifier
	blocks [][]byte
	nodes  nodes
	trees  []merkle.Tree // by length
	sigs   [][]byte      // by length, made on demand
}

// grow returns a log of the given blocks. All worlds have the same signer.
func grow(t testing.TB, fork uint64, blocks [][]byte) *world {
	t.Helper()
	kp := testKeyPair(1)
	m := hypercrypto.DefaultManifest(kp.Public)
	rules, err := hypercrypto.NewVerifier(m.Key(), m)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{kp: kp, v: merkle.Verifier{Key: m.Key(), Rules: rules}, blocks: blocks, nodes: nodes{}}
	tree := merkle.Tree{Fork: fork}
	w.trees = append(w.trees, tree.Clone())
	for i, b := range blocks {
		for _, n := range tree.Append(merkle.Leaf(uint64(i), b), nil) {
			w.nodes[n.Index] = n
		}
		w.trees = append(w.trees, tree.Clone())
	}
	w.sigs = make([][]byte, len(w.trees))
	return w
}

// logOf is the log of the vectors with n blocks.
func logOf(t testing.TB, n int) *world {
	t.Helper()
	var blocks [][]byte
	for i := range n {
		blocks = append(blocks, testBlock(i))
	}
	return grow(t, 0, blocks)
}

func (w *world) head() *merkle.Tree { return &w.trees[len(w.blocks)] }

func (w *world) signature(t testing.TB, length int) []byte {
	if w.sigs[length] == nil {
		sig, err := w.v.Rules.Sign(w.trees[length].State(), w.kp)
		if err != nil {
			t.Fatal(err)
		}
		w.sigs[length] = sig
	}
	return w.sigs[length]
}

// prove answers a request for the log as it was with length blocks.
func (w *world) prove(t testing.TB, length int, req *merkle.Request) *merkle.Proof {
	t.Helper()
	p, err := w.trees[length].Prove(w.nodes, req, 0)
	if err != nil {
		t.Fatalf("length %d: prove %s: %v", length, show(req), err)
	}
	if p.Block != nil {
		p.Block.Value = w.blocks[p.Block.Index]
	}
	if p.Upgrade != nil {
		p.Upgrade.Signature = w.signature(t, length)
	}
	return p
}

// size is the true number of bytes below x.
func (w *world) size(x uint64) (n uint64) {
	for i := flattree.LeftSpan(x) / 2; i <= flattree.RightSpan(x)/2; i++ {
		n += uint64(len(w.blocks[i]))
	}
	return n
}

// A reader is a log that grows by proofs.
type reader struct {
	v      merkle.Verifier
	tree   merkle.Tree
	nodes  nodes
	blocks map[uint64][]byte
	sig    []byte
}

func newReader(v merkle.Verifier) *reader {
	return &reader{v: v, nodes: nodes{}, blocks: map[uint64][]byte{}}
}

func (r *reader) clone() *reader {
	c := *r
	c.nodes, c.blocks = maps.Clone(r.nodes), maps.Clone(r.blocks)
	return &c
}

func (r *reader) equal(o *reader) bool {
	return r.tree.Length == o.tree.Length && r.tree.Hash() == o.tree.Hash() && bytes.Equal(r.sig, o.sig) &&
		r.tree.ByteLength == o.tree.ByteLength && maps.Equal(r.nodes, o.nodes) && maps.EqualFunc(r.blocks, o.blocks, bytes.Equal)
}

// apply checks p and stores what it brings.
func (r *reader) apply(p *merkle.Proof) error {
	c, err := r.v.Verify(&r.tree, r.nodes, p)
	if err != nil {
		return err
	}
	for _, n := range c.Nodes {
		r.nodes[n.Index] = n
	}
	if p.Block != nil {
		r.blocks[p.Block.Index] = bytes.Clone(p.Block.Value)
	}
	if c.Upgraded {
		r.tree, r.sig = c.Tree, c.Signature
	}
	if c.Rules != nil {
		r.v.Rules = c.Rules
	}
	return nil
}

// upgrade takes r to the state that w had with length blocks.
func (r *reader) upgrade(t testing.TB, w *world, length int) {
	t.Helper()
	start := r.tree.Length
	r.must(t, w.prove(t, length, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: start, Length: uint64(length) - start}}))
}

// get fetches block i.
func (r *reader) get(t testing.TB, w *world, i uint64) {
	t.Helper()
	r.must(t, w.prove(t, int(r.tree.Length), r.blockRequest(t, i)))
}

func (r *reader) blockRequest(t testing.TB, i uint64) *merkle.Request {
	levels, _, err := merkle.MissingNodes(r.nodes, 2*i, r.tree.Length)
	if err != nil {
		t.Fatal(err)
	}
	return &merkle.Request{Block: &merkle.BlockRequest{Index: i, Levels: levels}}
}

func (r *reader) must(t testing.TB, p *merkle.Proof) {
	t.Helper()
	if err := r.apply(p); err != nil {
		t.Fatalf("honest proof refused: %v\n%s", err, show(p))
	}
}

// check holds r against the truth: w may have signed only the states in trees.
// Hashes are true; sizes are true or shifted between two siblings, one of which
// nothing is known about.
func (r *reader) check(w *world) error {
	if r.tree.Length > uint64(len(w.blocks)) || r.tree.Hash() != w.trees[r.tree.Length].Hash() {
		return fmt.Errorf("a state of %d blocks that was never signed", r.tree.Length)
	}
	if r.tree.ByteLength != w.trees[r.tree.Length].ByteLength {
		return fmt.Errorf("byte length %d, want %d", r.tree.ByteLength, w.trees[r.tree.Length].ByteLength)
	}
	for i, b := range r.blocks {
		if !bytes.Equal(b, w.blocks[i]) || i >= r.tree.Length {
			return fmt.Errorf("block %d of %d is wrong", i, r.tree.Length)
		}
	}
	roots := map[uint64]bool{}
	for _, n := range r.tree.Roots {
		roots[n.Index] = true
		if r.nodes[n.Index] != n {
			return fmt.Errorf("root %d is not stored", n.Index)
		}
	}
	for x, n := range r.nodes {
		truth := w.nodes[x]
		if n.Index != x || n.Hash != truth.Hash {
			return fmt.Errorf("node %d is wrong", x)
		}
		if roots[x] {
			if n != truth {
				return fmt.Errorf("size of root %d is wrong", x)
			}
			continue
		}
		s, ok := r.nodes[flattree.Sibling(x)]
		if _, up := r.nodes[flattree.Parent(x)]; !ok || !up {
			return fmt.Errorf("node %d is stored without its sibling or parent", x)
		}
		if n.Size == truth.Size {
			continue
		}
		if n.Size+s.Size != w.size(flattree.Parent(x)) {
			return fmt.Errorf("sizes of %d and its sibling are wrong in sum", x)
		}
		_, held := r.blocks[x/2]
		left, _ := flattree.Children(x)
		_, below := r.nodes[left]
		if flattree.Depth(x) == 0 && held || flattree.Depth(x) > 0 && below {
			return fmt.Errorf("size of %d is wrong although something below it is known", x)
		}
	}
	return nil
}

// serves tells whether everything r holds can be proven to a reader that knows
// nothing but the signed state.
func (r *reader) serves(t testing.TB, w *world) error {
	for i := range r.blocks {
		fresh := newReader(r.v)
		fresh.tree.Fork = r.tree.Fork
		fresh.upgrade(t, w, int(r.tree.Length))
		p, err := r.tree.Prove(r.nodes, fresh.blockRequest(t, i), 0)
		if err != nil {
			return fmt.Errorf("prove block %d: %w", i, err)
		}
		p.Block.Value = r.blocks[i]
		if err := fresh.apply(p); err != nil {
			return fmt.Errorf("verify block %d: %w", i, err)
		}
	}
	return nil
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	raw, err := hex.DecodeString(*s)
	*h = raw
	return err
}

func loadVectors(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
