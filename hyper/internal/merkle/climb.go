package merkle

import (
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// subtree is a node of the block, hash and seek parts. computed tells that its
// size follows from its hash; collected that it is among the nodes of the change.
type subtree struct {
	Node
	computed  bool
	collected bool
}

// parts climbs from block, hash and seek to their common top, nil if there are
// none, and collects every node met.
func parts(p *Proof, c *Change) (*subtree, error) {
	var sub *subtree
	if s := p.Seek; s != nil && len(s.Nodes) > 0 {
		if err := inRange(s.Nodes); err != nil {
			return nil, err
		}
		sub = &subtree{Node: s.Nodes[0]}
		c.expect(len(s.Nodes))
		c.collect(sub)
		for i := range s.Nodes[1:] {
			if err := sub.join(&subtree{Node: s.Nodes[1+i]}, c); err != nil {
				return nil, err
			}
		}
	}
	var cur *subtree
	var nodes []Node
	switch {
	case p.Block != nil:
		if p.Block.Index >= maxBlocks {
			return nil, fmt.Errorf("%w: block %d", ErrOperation, p.Block.Index)
		}
		cur = &subtree{Node: p.Block.node(), computed: true}
		nodes = p.Block.Nodes
	case p.Hash != nil:
		nodes = p.Hash.Nodes
		switch {
		case sub != nil && sub.Index == p.Hash.Index:
			cur, sub = sub, nil
		case len(nodes) == 0 || nodes[0].Index != p.Hash.Index:
			return nil, fmt.Errorf("%w: node %d is not in the proof", ErrOperation, p.Hash.Index)
		default:
			if err := inRange(nodes[:1]); err != nil {
				return nil, err
			}
			cur, nodes = &subtree{Node: nodes[0]}, nodes[1:]
		}
	default:
		return sub, nil
	}
	if err := inRange(nodes); err != nil {
		return nil, err
	}
	c.expect(1 + len(nodes))
	c.collect(cur)
	for len(nodes) > 0 || sub != nil {
		want := flattree.Sibling(cur.Index)
		var n *subtree
		switch {
		case sub != nil && sub.Index == want:
			n, sub = sub, nil
		case len(nodes) == 0:
			return nil, fmt.Errorf("%w: node %d is missing", ErrOperation, want)
		default:
			n, nodes = &subtree{Node: nodes[0]}, nodes[1:]
		}
		if err := cur.join(n, c); err != nil {
			return nil, err
		}
	}
	return cur, nil
}

// join climbs one level with the help of the sibling n.
func (s *subtree) join(n *subtree, c *Change) error {
	if n.Index != flattree.Sibling(s.Index) {
		return fmt.Errorf("%w: node %d where %d belongs", ErrOperation, n.Index, flattree.Sibling(s.Index))
	}
	if s.Size+n.Size > compact.MaxUint || flattree.Parent(s.Index) > compact.MaxUint {
		return fmt.Errorf("%w: node %d is too large", ErrOperation, n.Index)
	}
	if !s.computed && !n.computed {
		c.loose = append(c.loose, s.Index)
	}
	c.collect(n)
	*s = subtree{Node: Parent(&s.Node, &n.Node), computed: true}
	c.collect(s)
	return nil
}

// collect adds n to the nodes of the change, once.
func (c *Change) collect(n *subtree) {
	if !n.collected {
		n.collected = true
		c.Nodes = append(c.Nodes, n.Node)
	}
}

// expect makes room for what n nodes of a proof bring with them.
func (c *Change) expect(n int) { c.Nodes = slices.Grow(c.Nodes, 2*n) }

// inRange checks what arithmetic relies on: no index or size above what the
// wire can carry.
func inRange(nodes []Node) error {
	for i := range nodes {
		if nodes[i].Index > compact.MaxUint || nodes[i].Size > compact.MaxUint {
			return fmt.Errorf("%w: node %d of %d bytes", ErrOperation, nodes[i].Index, nodes[i].Size)
		}
	}
	return nil
}
