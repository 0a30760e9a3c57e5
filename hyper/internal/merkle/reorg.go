package merkle

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// A Reorg is a signed tree of a higher fork on its way to replace the stored
// log. It is built by [Verifier.Reorg] from one proof and then told more nodes
// until it knows which blocks both trees share.
type Reorg struct {
	Tree      Tree
	Signature []byte
	Change    *Change // Rules that came along, if any

	nodes map[uint64]Node     // of the new tree, all below signed roots
	loose map[uint64]struct{} // those of them that are one of a loose pair
	old   uint64              // length of the stored log

	diff      uint64 // topmost leftmost node that differs
	differs   bool   // false: everything is shared
	ancestors uint64
}

// Reorg checks a proof from an empty log to a state on a higher fork. r and
// length are the stored log.
func (v *Verifier) Reorg(r Reader, length uint64, p *Proof) (*Reorg, error) {
	g, err := v.Full(p)
	if err != nil {
		return nil, err
	}
	g.old = length
	return g, g.compare(r)
}

// Full checks a proof that starts from nothing and stands for itself: a signed
// state of the core, whatever is stored.
func (v *Verifier) Full(p *Proof) (*Reorg, error) {
	if p.Upgrade == nil {
		return nil, fmt.Errorf("%w: no upgrade", ErrProof)
	}
	rules, err := v.rules(p)
	if err != nil {
		return nil, err
	}
	c := &Change{}
	top, err := parts(p, c)
	if err != nil {
		return nil, err
	}
	t := Tree{Fork: p.Fork}
	consumed, err := applyUpgrade(&t, rules, p.Upgrade, top, c)
	if err != nil {
		return nil, err
	}
	if top != nil && !consumed {
		return nil, fmt.Errorf("%w: block or node outside of the tree", ErrProof)
	}
	if !v.signed(rules, &t, p.Upgrade.Signature) {
		return nil, ErrSignature
	}
	if v.Rules == nil {
		c.Rules = rules
	}
	g := &Reorg{
		Tree: t, Signature: p.Upgrade.Signature, Change: c,
		nodes: make(map[uint64]Node, len(c.Nodes)), loose: make(map[uint64]struct{}),
	}
	g.take(c)
	return g, nil
}

// RootHashes returns the hashes of the roots over the first length blocks, which
// the signature covers. Sizes are not among them, since the signature covers
// those of pairs only. ok is false if the proof does not have all of them.
func (g *Reorg) RootHashes(length uint64) (hashes []hypercrypto.Hash, ok bool) {
	if length > g.Tree.Length {
		return nil, false
	}
	for _, x := range flattree.FullRoots(length, nil) {
		n, ok := g.nodes[x]
		if !ok {
			return nil, false
		}
		hashes = append(hashes, n.Hash)
	}
	return hashes, true
}

// Ancestors is the number of blocks at the start that both logs are known to
// share. It is a lower bound: nodes that are not stored count as different.
func (g *Reorg) Ancestors() uint64 { return g.ancestors }

// Want returns the blocks one of which has to be proven next, from start up to
// but not including end, and how many levels its hash proof has to climb. Done
// tells that nothing more is needed.
func (g *Reorg) Want() (start, end, levels uint64, done bool) {
	if !g.differs || flattree.Depth(g.diff) == 0 || g.ancestors >= g.old {
		return 0, 0, 0, true
	}
	end = min(g.old, flattree.RightSpan(g.diff)/2+1)
	return g.ancestors, end, uint64(flattree.Depth(g.diff)), false
}

// Add takes the answer to a request that Want led to.
func (g *Reorg) Add(r Reader, p *Proof) error {
	c := &Change{}
	top, err := parts(p, c)
	if err != nil {
		return err
	}
	if top == nil {
		return fmt.Errorf("%w: no node in the answer", ErrOperation)
	}
	if err := c.anchor(known(g.nodes), top); err != nil {
		return err
	}
	if err := c.settle(known(g.nodes)); err != nil {
		return err
	}
	g.take(c)
	return g.compare(r)
}

// take adds the nodes of c, which are proven.
func (g *Reorg) take(c *Change) {
	for _, n := range c.Nodes {
		g.nodes[n.Index] = n
		delete(g.loose, n.Index)
	}
	for _, x := range c.loose {
		s := flattree.Sibling(x)
		if c.find(x) >= 0 && c.find(s) >= 0 {
			g.loose[x], g.loose[s] = struct{}{}, struct{}{}
		}
	}
}

// known is a [Reader] of the nodes of a Reorg.
type known map[uint64]Node

func (k known) Node(x uint64) (Node, bool, error) {
	n, ok := k[x]
	return n, ok, nil
}

// Nodes returns the nodes of the new tree that are to be stored, in no order,
// when r, the stored log, has been cut down to Ancestors blocks or is about to
// be.
func (g *Reorg) Nodes(r Reader) ([]Node, error) {
	c := &Change{Nodes: make([]Node, 0, len(g.nodes))}
	for _, n := range g.nodes {
		c.Nodes = append(c.Nodes, n)
	}
	for x := range g.loose {
		if s := flattree.Sibling(x); x < s {
			c.loose = append(c.loose, x)
		}
	}
	if err := c.settle(within{r, 2 * g.ancestors}); err != nil {
		return nil, err
	}
	return c.Nodes, nil
}

// compare finds the first difference as deep as the known nodes allow.
func (g *Reorg) compare(r Reader) error {
	g.differs, g.ancestors = false, g.Tree.Length
	for i := range g.Tree.Roots {
		same, err := g.stored(r, g.Tree.Roots[i].Index)
		if err != nil {
			return err
		}
		if !same {
			g.differs, g.diff = true, g.Tree.Roots[i].Index
			break
		}
	}
	if !g.differs {
		return nil
	}
	for flattree.Depth(g.diff) > 0 {
		left, right := flattree.Children(g.diff)
		if _, ok := g.nodes[left]; !ok {
			break
		}
		if _, ok := g.nodes[right]; !ok {
			break
		}
		same, err := g.stored(r, left)
		if err != nil {
			return err
		}
		if same {
			g.diff = right
		} else {
			g.diff = left
		}
	}
	g.ancestors = min(flattree.LeftSpan(g.diff)/2, g.Tree.Length)
	return nil
}

// stored tells whether the node x of the new tree is in the stored log too.
func (g *Reorg) stored(r Reader, x uint64) (bool, error) {
	n := g.nodes[x]
	_, same, err := storedAs(within{r, 2 * g.old}, &n)
	return same, err
}
