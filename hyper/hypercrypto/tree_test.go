package hypercrypto

import (
	"errors"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// testTree is the smallest tree that can be appended to and grown with proofs.
type testTree struct {
	length uint64
	roots  []TreeNode
	nodes  map[uint64]TreeNode
}

func newTestTree(blocks int) *testTree {
	t := &testTree{nodes: map[uint64]TreeNode{}}
	for i := range blocks {
		b := testBlock(i)
		if err := t.append(TreeNode{Index: uint64(2 * i), Size: uint64(len(b)), Hash: LeafHash(b)}); err != nil {
			panic(err)
		}
	}
	return t
}

// append adds a complete subtree at the end and merges roots.
func (t *testTree) append(n TreeNode) error {
	if flattree.LeftSpan(n.Index) != 2*t.length {
		return errors.New("node does not start at the end")
	}
	t.length += flattree.LeafCount(n.Index)
	t.roots = append(t.roots, n)
	t.nodes[n.Index] = n
	for len(t.roots) > 1 {
		a, b := t.roots[len(t.roots)-2], t.roots[len(t.roots)-1]
		if flattree.Sibling(a.Index) != b.Index {
			break
		}
		size := a.Size + b.Size
		p := TreeNode{Index: flattree.Parent(a.Index), Size: size, Hash: ParentHash(size, &a.Hash, &b.Hash)}
		t.roots = append(t.roots[:len(t.roots)-2], p)
		t.nodes[p.Index] = p
	}
	return nil
}

func (t *testTree) state(fork uint64) TreeState {
	var h TreeHasher
	for i := range t.roots {
		h.Add(t.roots[i].Index, t.roots[i].Size, &t.roots[i].Hash)
	}
	return TreeState{Hash: h.Sum(), Length: t.length, Fork: fork}
}

// grow is the Grow function that starts from t.
func (t *testTree) grow(patch uint64, nodes []TreeNode) (Hash, uint64, bool) {
	byIndex := map[uint64]TreeNode{}
	for _, n := range nodes {
		byIndex[n.Index] = n
	}
	g := newTestTree(0)
	for _, r := range t.roots {
		if g.append(r) != nil {
			return Hash{}, 0, false
		}
	}
	for g.length < t.length+patch {
		n, ok := byIndex[g.next(t.length+patch)]
		if !ok || g.append(n) != nil {
			return Hash{}, 0, false
		}
	}
	return g.state(0).Hash, g.length, true
}

// next returns the node that an upgrade proof to the given length holds for the
// blocks that follow: a sibling of the last root as long as that root is no full
// root of the longer tree, else the next full root.
func (t *testTree) next(length uint64) uint64 {
	for _, full := range flattree.FullRoots(length, nil) {
		if flattree.RightSpan(full) < 2*t.length {
			continue
		}
		if flattree.LeftSpan(full) < 2*t.length {
			return flattree.Sibling(t.roots[len(t.roots)-1].Index)
		}
		return full
	}
	return 0
}

// upgrade returns the nodes that prove the growth from a shorter length to t.
func (t *testTree) upgrade(from *testTree) []TreeNode {
	g := newTestTree(0)
	for _, r := range from.roots {
		if err := g.append(r); err != nil {
			panic(err)
		}
	}
	var nodes []TreeNode
	for g.length < t.length {
		n := t.nodes[g.next(t.length)]
		nodes = append(nodes, n)
		if err := g.append(n); err != nil {
			panic(err)
		}
	}
	return nodes
}
