package merkle

import (
	"fmt"
	"iter"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// applyUpgrade grows t as the part says. Where the growth leads over top, top
// stands in for a node of the part; consumed tells whether it did.
func applyUpgrade(t *Tree, rules *hypercrypto.Verifier, up *UpgradePart, top *subtree, c *Change) (consumed bool, err error) {
	if up.Start > maxBlocks || up.Length > maxBlocks-up.Start || up.Length == 0 {
		return false, fmt.Errorf("%w: upgrade from %d by %d", ErrOperation, up.Start, up.Length)
	}
	if err := inRange(up.Nodes); err != nil {
		return false, err
	}
	if err := inRange(up.Additional); err != nil {
		return false, err
	}
	var prologue *hypercrypto.Prologue
	if rules != nil {
		prologue = rules.Prologue()
	}
	if prologue != nil && up.Start < prologue.Length && (up.Start != 0 || up.Length < prologue.Length) {
		return false, fmt.Errorf("%w: upgrade stays within the prologue", ErrProof)
	}
	if prologue != nil && t.Length < prologue.Length && up.Start+up.Length != prologue.Length {
		return false, fmt.Errorf("%w: upgrade passes the prologue by", ErrProof)
	}
	nodes := up.Nodes
	c.expect(len(up.Nodes) + len(up.Additional))
	take := func(x uint64) error {
		switch {
		case top != nil && !consumed && top.Index == x:
			consumed = true
			return t.extend(top, c)
		case len(nodes) == 0:
			return fmt.Errorf("%w: node %d is missing in the upgrade", ErrOperation, x)
		case nodes[0].Index != x:
			return fmt.Errorf("%w: node %d in the upgrade where %d belongs", ErrOperation, nodes[0].Index, x)
		}
		n := &subtree{Node: nodes[0]}
		nodes = nodes[1:]
		return t.extend(n, c)
	}
	i, grow := 0, len(t.Roots) > 0
	var buf [64]uint64
	for _, x := range flattree.FullRoots(up.Start+up.Length, buf[:0]) {
		if i < len(t.Roots) && t.Roots[i].Index == x {
			i++
			continue
		}
		if grow {
			grow = false
			if i < len(t.Roots) {
				for t.last() != x {
					if flattree.Depth(t.last()) >= flattree.Depth(x) {
						return false, fmt.Errorf("%w: upgrade to %d does not extend %d blocks", ErrOperation, up.Start+up.Length, t.Length)
					}
					if err := take(flattree.Sibling(t.last())); err != nil {
						return false, err
					}
				}
				i = len(t.Roots)
				continue
			}
		}
		if err := take(x); err != nil {
			return false, err
		}
		i = len(t.Roots)
	}
	if prologue != nil && t.Length == prologue.Length && t.Hash() != prologue.Hash {
		return false, fmt.Errorf("%w: the prologue is another one", ErrProof)
	}
	for i := range up.Additional {
		if err := t.extend(&subtree{Node: up.Additional[i]}, c); err != nil {
			return false, err
		}
	}
	return consumed, nil
}

// extend is Append for nodes from a peer.
func (t *Tree) extend(n *subtree, c *Change) error {
	if flattree.LeftSpan(n.Index) != 2*t.Length {
		return fmt.Errorf("%w: node %d does not continue at block %d", ErrOperation, n.Index, t.Length)
	}
	if t.ByteLength+n.Size > compact.MaxUint || t.Length+flattree.LeafCount(n.Index) > maxBlocks {
		return fmt.Errorf("%w: the log gets too large", ErrOperation)
	}
	if c.tail && !n.computed && flattree.Sibling(t.last()) == n.Index {
		c.loose = append(c.loose, n.Index)
	}
	c.collect(n)
	c.Nodes = t.join(n.Node, c.Nodes)
	c.tail = !n.computed && t.last() == n.Index
	return nil
}

// patch is the [hypercrypto.Grow] of t: a signer that signed a longer tree
// proves that it extends this one.
func (t *Tree) patch(blocks uint64, nodes []Node) (hash hypercrypto.Hash, length uint64, ok bool) {
	if blocks > maxBlocks || t.Length > maxBlocks-blocks {
		return hypercrypto.Hash{}, 0, false
	}
	length = t.Length + blocks
	needed := slices.Collect(growth(2*t.Length, 2*length))
	up := &UpgradePart{Start: t.Length, Length: blocks, Nodes: make([]Node, len(needed))}
	found := make([]bool, len(needed))
	for i := range nodes {
		if at, ok := slices.BinarySearch(needed, nodes[i].Index); ok {
			up.Nodes[at], found[at] = nodes[i], true
		}
	}
	if slices.Contains(found, false) {
		return hypercrypto.Hash{}, 0, false
	}
	grown := t.Clone()
	if _, err := applyUpgrade(&grown, nil, up, nil, &Change{}); err != nil {
		return hypercrypto.Hash{}, 0, false
	}
	return grown.Hash(), length, true
}

// growth yields the nodes of an upgrade proof between two tree indexes, lowest
// first.
func growth(from, to uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		started := from == 0
		var buf [64]uint64
		for _, root := range flattree.FullRoots(to/2, buf[:0]) {
			if flattree.RightSpan(root)+2 <= from {
				continue
			}
			if last := from - 2; !started && flattree.Contains(root, last) {
				started = true
				for x := last; x != root; x = flattree.Parent(x) {
					if s := flattree.Sibling(x); s > last && !yield(s) {
						return
					}
				}
				continue
			}
			started = true
			if !yield(root) {
				return
			}
		}
	}
}
