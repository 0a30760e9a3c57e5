package merkle

import (
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// A parent's hash covers the sum of its children's sizes. So a pair of siblings
// that are both known by hash only is loose: a peer may have moved bytes from one
// to the other. As soon as something below one of them is proven, both sizes are
// known. This file keeps true sizes from being replaced by loose ones, and puts
// loose ones right.

// within is the part of a log before a tree index: nodes that reach beyond it
// count as not stored.
type within struct {
	r   Reader
	end uint64
}

func (w within) Node(x uint64) (Node, bool, error) {
	if flattree.RightSpan(x) >= w.end {
		return Node{}, false, nil
	}
	n, ok, err := w.r.Node(x)
	if err != nil {
		err = fmt.Errorf("read tree node %d: %w", x, err)
	}
	return n, ok, err
}

// anchor checks that top is a node that r has. If its size differs although it
// was computed, the stored one was loose, and so was its sibling, which then is
// put right as well.
func (c *Change) anchor(r Reader, top *subtree) error {
	n, ok, err := r.Node(top.Index)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: it ends at node %d, which is not known", ErrOperation, top.Index)
	}
	if n.Hash != top.Hash || n.Size != top.Size && !top.computed {
		return fmt.Errorf("%w at node %d", ErrChecksum, top.Index)
	}
	if n.Size == top.Size {
		return nil
	}
	s, ok, err := r.Node(flattree.Sibling(top.Index))
	if err != nil {
		return err
	}
	if ok && n.Size+s.Size >= top.Size {
		s.Size = n.Size + s.Size - top.Size
		c.Nodes = append(c.Nodes, s)
	}
	return nil
}

// settle compares the loose pairs of c with what r has. Sizes that r has are
// loose at worst, those of c are for certain, so they are kept: nodes that r has
// leave c, and the sibling of one that only r has gets the rest of the sum.
func (c *Change) settle(r Reader) error {
	for _, x := range c.loose {
		ia, ib := c.find(x), c.find(flattree.Sibling(x))
		if ia < 0 || ib < 0 {
			continue
		}
		a, b := &c.Nodes[ia], &c.Nodes[ib]
		sum := a.Size + b.Size
		sa, okA, err := storedAs(r, a)
		if err != nil {
			return err
		}
		sb, okB, err := storedAs(r, b)
		if err != nil {
			return err
		}
		switch {
		case okA && okB && sa.Size+sb.Size == sum:
			c.drop(ia, ib)
		case okA && !okB && sa.Size <= sum:
			b.Size = sum - sa.Size
			c.drop(ia)
		case okB && !okA && sb.Size <= sum:
			a.Size = sum - sb.Size
			c.drop(ib)
		}
	}
	return nil
}

// storedAs returns what r has of n, if the hash is the same.
func storedAs(r Reader, n *Node) (Node, bool, error) {
	s, ok, err := r.Node(n.Index)
	return s, ok && s.Hash == n.Hash, err
}

func (c *Change) find(x uint64) int {
	return slices.IndexFunc(c.Nodes, func(n Node) bool { return n.Index == x })
}

func (c *Change) drop(at ...int) {
	slices.Sort(at)
	for i, x := range at {
		c.Nodes = slices.Delete(c.Nodes, x-i, x-i+1)
	}
}
