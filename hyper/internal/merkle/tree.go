package merkle

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// Tree is one state of a log, without its signature. The zero value is the
// empty log at fork 0. A Tree is a value: copies made with Clone are
// independent.
type Tree struct {
	Fork       uint64
	Length     uint64 // blocks
	ByteLength uint64 // sum of the sizes of the roots
	Roots      []Node // left to right
}

// Load returns the tree of length blocks from its stored roots.
func Load(r Reader, fork, length uint64) (Tree, error) {
	t := Tree{Fork: fork, Length: length}
	var buf [64]uint64
	indexes := flattree.FullRoots(length, buf[:0])
	t.Roots = make([]Node, 0, len(indexes)+2)
	for _, x := range indexes {
		n, err := get(r, x)
		if err != nil {
			return Tree{}, err
		}
		t.Roots = append(t.Roots, n)
		t.ByteLength += n.Size
	}
	return t, nil
}

// Clone returns an independent copy.
func (t *Tree) Clone() Tree {
	c := *t
	c.Roots = append(make([]Node, 0, len(t.Roots)+4), t.Roots...)
	return c
}

// Append adds a complete subtree that starts at the end of the log, most often
// a leaf, and joins roots that became siblings. It appends the subtree's node
// and all new parents to out and returns that.
func (t *Tree) Append(n Node, out []Node) []Node {
	if flattree.LeftSpan(n.Index) != 2*t.Length {
		panic(fmt.Sprintf("merkle: node %d does not start at block %d", n.Index, t.Length))
	}
	return t.join(n, append(out, n))
}

// join adds n as the last root, joins roots that became siblings and appends
// all new parents to out.
func (t *Tree) join(n Node, out []Node) []Node {
	t.Length += flattree.LeafCount(n.Index)
	t.ByteLength += n.Size
	t.Roots = append(t.Roots, n)
	for len(t.Roots) > 1 {
		a, b := &t.Roots[len(t.Roots)-2], &t.Roots[len(t.Roots)-1]
		if flattree.Sibling(a.Index) != b.Index {
			break
		}
		p := Parent(a, b)
		t.Roots = t.Roots[:len(t.Roots)-1]
		t.Roots[len(t.Roots)-1] = p
		out = append(out, p)
	}
	return out
}

// Hash returns the hash over the roots: what a signature covers, together with
// length and fork.
func (t *Tree) Hash() hypercrypto.Hash {
	var h hypercrypto.TreeHasher
	for i := range t.Roots {
		h.Add(t.Roots[i].Index, t.Roots[i].Size, &t.Roots[i].Hash)
	}
	return h.Sum()
}

// State returns what a signature over t covers.
func (t *Tree) State() hypercrypto.TreeState {
	return hypercrypto.TreeState{Hash: t.Hash(), Length: t.Length, Fork: t.Fork}
}

// last returns the index of the last root; it must exist.
func (t *Tree) last() uint64 { return t.Roots[len(t.Roots)-1].Index }

// CanGrowFrom tells whether r holds the roots of a log of length blocks, which
// is what it takes to prove the growth from there on.
func CanGrowFrom(r Reader, length uint64) (bool, error) {
	var buf [64]uint64
	for _, x := range flattree.FullRoots(length, buf[:0]) {
		_, ok, err := r.Node(x)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// MissingNodes returns how many levels a proof for the node x must climb until
// it meets a node that r holds, in a log of length blocks: the number to put in
// a request. top is that node; its Size bounds the size of every block below
// it. For a node beyond the log the answer is 0 and an empty top: it comes with
// an upgrade.
func MissingNodes(r Reader, x, length uint64) (levels uint64, top Node, err error) {
	end := 2 * length
	for !flattree.Contains(x, end) && x < end {
		n, ok, err := r.Node(x)
		if err != nil {
			return 0, Node{}, err
		}
		if ok {
			return levels, n, nil
		}
		levels++
		x = flattree.Parent(x)
	}
	if flattree.LeftSpan(x) >= end {
		return 0, Node{}, nil
	}
	return levels, Node{}, nil
}

// MaxMissingNodes returns how many levels lie between the node x and the root
// above it in a log of length blocks: what a peer of that length lacks at most.
func MaxMissingNodes(x, length uint64) uint64 {
	var levels uint64
	end := 2 * length
	if x >= end {
		return 0
	}
	for {
		p := flattree.Parent(x)
		if flattree.RightSpan(p) >= end {
			return levels
		}
		x = p
		levels++
	}
}
