package merkle

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// A Verifier checks proofs for one core.
type Verifier struct {
	Key hypercrypto.Key
	// Rules are the core's signers. Nil while the manifest is unknown: then it
	// has to come with the first upgrade, or the key is a public key.
	Rules *hypercrypto.Verifier
}

// Change is what a checked proof adds to a log.
type Change struct {
	// Nodes are to be stored, replacing stored ones with the same index: where
	// a size differs, the new one is the true one.
	Nodes []Node
	// Upgraded tells that Tree is a new signed state, with Signature. Otherwise
	// Tree is the state that the proof was checked against.
	Upgraded  bool
	Tree      Tree
	Signature []byte
	// Rules is set when the proof brought a manifest that was not known.
	Rules *hypercrypto.Verifier
}

// Verify checks a proof against the log in state t, whose nodes r holds. It
// covers proofs on the fork of t; for higher ones see [Verifier.Reorg].
//
// An upgrade that does not reach beyond t is no error if it agrees with what is
// stored: the change is then without effect on the state. Errors wrap
// [ErrOperation], [ErrChecksum], [ErrSignature] or [ErrProof], or come from r.
func (v *Verifier) Verify(t *Tree, r Reader, p *Proof) (*Change, error) {
	if p.Fork != t.Fork {
		return nil, fmt.Errorf("%w: fork %d, not %d", ErrOperation, p.Fork, t.Fork)
	}
	c := &Change{Tree: *t}
	rules, err := v.rules(p)
	if err != nil {
		return nil, err
	}
	if rules != v.Rules && p.Manifest != nil {
		c.Rules = rules
	}
	top, err := parts(p, c)
	if err != nil {
		return nil, err
	}
	if p.Upgrade != nil {
		grown := t.Clone()
		consumed, err := applyUpgrade(&grown, rules, p.Upgrade, top, c)
		if err != nil {
			return nil, err
		}
		if consumed {
			top = nil
		}
		if grown.Length > t.Length {
			if !v.signed(rules, &grown, p.Upgrade.Signature) {
				return nil, ErrSignature
			}
			if p.Manifest == nil && v.Rules == nil {
				c.Rules = rules // a compat core, proven by its signature
			}
			c.Tree, c.Signature, c.Upgraded = grown, p.Upgrade.Signature, true
		} else if err := known(r, grown.Roots); err != nil {
			return nil, err
		}
	}
	if top != nil {
		if err := anchor(r, top, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// rules returns what signatures are checked by: the known rules or those of the
// manifest that came along.
func (v *Verifier) rules(p *Proof) (*hypercrypto.Verifier, error) {
	if p.Manifest != nil {
		if v.Rules != nil && !v.Rules.Compat() && p.Manifest.Equal(v.Rules.Manifest()) {
			return v.Rules, nil
		}
		rules, err := hypercrypto.NewVerifier(v.Key, p.Manifest)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrChecksum, err)
		}
		if v.Rules != nil {
			return v.Rules, nil
		}
		return rules, nil
	}
	if v.Rules != nil {
		return v.Rules, nil
	}
	return hypercrypto.NewVerifier(v.Key, nil)
}

// Signed tells whether signature makes t a valid state of the core. Rules must
// be known.
func (v *Verifier) Signed(t *Tree, signature []byte) bool {
	return v.Rules != nil && v.signed(v.Rules, t, signature)
}

func (v *Verifier) signed(rules *hypercrypto.Verifier, t *Tree, signature []byte) bool {
	return rules.Verify(t.State(), signature, t.patch)
}

// patch is the [hypercrypto.Grow] of t: a signer that signed a longer tree
// proves that it extends this one.
func (t *Tree) patch(blocks uint64, nodes []Node) (hash hypercrypto.Hash, length uint64, ok bool) {
	byIndex := make(map[uint64]Node, len(nodes))
	for _, n := range nodes {
		byIndex[n.Index] = n
	}
	length = t.Length + blocks
	if length > maxBlocks {
		return hypercrypto.Hash{}, 0, false
	}
	grown := t.Clone()
	up := &UpgradePart{Start: t.Length, Length: blocks}
	for _, x := range growthIndexes(2*t.Length, 2*length) {
		n, ok := byIndex[x]
		if !ok {
			return hypercrypto.Hash{}, 0, false
		}
		up.Nodes = append(up.Nodes, n)
	}
	if _, err := applyUpgrade(&grown, nil, up, nil, &Change{}); err != nil {
		return hypercrypto.Hash{}, 0, false
	}
	return grown.Hash(), length, true
}

// growthIndexes lists the nodes of an upgrade proof between two tree indexes.
func growthIndexes(from, to uint64) []uint64 {
	var list []uint64
	started := from == 0
	var buf [64]uint64
	for _, root := range flattree.FullRoots(to/2, buf[:0]) {
		if flattree.RightSpan(root)+2 <= from {
			continue
		}
		if last := from - 2; !started && flattree.Contains(root, last) {
			started = true
			for x := last; x != root; x = flattree.Parent(x) {
				if s := flattree.Sibling(x); s > last {
					list = append(list, s)
				}
			}
			continue
		}
		started = true
		list = append(list, root)
	}
	return list
}

// known checks that roots, which do not reach beyond the stored log, are what
// is stored.
func known(r Reader, roots []Node) error {
	for i := range roots {
		n, ok, err := r.Node(roots[i].Index)
		if err != nil {
			return fmt.Errorf("read tree node %d: %w", roots[i].Index, err)
		}
		if !ok || n != roots[i] {
			return fmt.Errorf("%w: the upgrade is no longer than the log and differs", ErrOperation)
		}
	}
	return nil
}

// subtree is the top of what the block, hash and seek parts prove. computed
// tells that its size follows from its hash.
type subtree struct {
	Node
	computed bool
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
		c.Nodes = append(c.Nodes, s.Nodes[0])
		for _, n := range s.Nodes[1:] {
			if err := sub.join(&n, c); err != nil {
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
		cur = &subtree{Node: Leaf(p.Block.Index, p.Block.Value), computed: true}
		nodes = p.Block.Nodes
	case p.Hash != nil:
		nodes = p.Hash.Nodes
		switch {
		case sub != nil && sub.Index == p.Hash.Index:
			cur, sub = sub, nil
		case len(nodes) == 0 || nodes[0].Index != p.Hash.Index:
			return nil, fmt.Errorf("%w: node %d is not in the proof", ErrOperation, p.Hash.Index)
		default:
			cur, nodes = &subtree{Node: nodes[0]}, nodes[1:]
		}
	default:
		return sub, nil
	}
	if err := inRange(nodes); err != nil {
		return nil, err
	}
	if err := inRange([]Node{cur.Node}); err != nil {
		return nil, err
	}
	c.Nodes = append(c.Nodes, cur.Node)
	for len(nodes) > 0 || sub != nil {
		want := flattree.Sibling(cur.Index)
		var n Node
		switch {
		case sub != nil && sub.Index == want:
			n, sub = sub.Node, nil
		case len(nodes) == 0:
			return nil, fmt.Errorf("%w: node %d is missing", ErrOperation, want)
		default:
			n, nodes = nodes[0], nodes[1:]
		}
		if err := cur.join(&n, c); err != nil {
			return nil, err
		}
	}
	return cur, nil
}

// join climbs one level with the help of the sibling n.
func (s *subtree) join(n *Node, c *Change) error {
	if n.Index != flattree.Sibling(s.Index) {
		return fmt.Errorf("%w: node %d where %d belongs", ErrOperation, n.Index, flattree.Sibling(s.Index))
	}
	if s.Size+n.Size > compact.MaxUint || flattree.Parent(s.Index) > compact.MaxUint {
		return fmt.Errorf("%w: node %d is too large", ErrOperation, n.Index)
	}
	s.Node, s.computed = Parent(&s.Node, n), true
	c.Nodes = append(c.Nodes, *n, s.Node)
	return nil
}

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
	nodes := up.Nodes
	take := func(x uint64) error {
		var n Node
		switch {
		case top != nil && !consumed && top.Index == x:
			n, consumed = top.Node, true
		case len(nodes) == 0:
			return fmt.Errorf("%w: node %d is missing in the upgrade", ErrOperation, x)
		case nodes[0].Index != x:
			return fmt.Errorf("%w: node %d in the upgrade where %d belongs", ErrOperation, nodes[0].Index, x)
		default:
			n, nodes = nodes[0], nodes[1:]
		}
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
	for _, n := range up.Additional {
		if err := t.extend(n, c); err != nil {
			return false, err
		}
	}
	return consumed, nil
}

// extend is Append for nodes from a peer.
func (t *Tree) extend(n Node, c *Change) error {
	if flattree.LeftSpan(n.Index) != 2*t.Length {
		return fmt.Errorf("%w: node %d does not continue at block %d", ErrOperation, n.Index, t.Length)
	}
	if t.ByteLength+n.Size > compact.MaxUint || t.Length+flattree.LeafCount(n.Index) > maxBlocks {
		return fmt.Errorf("%w: the log gets too large", ErrOperation)
	}
	c.Nodes = t.Append(n, c.Nodes)
	return nil
}

// anchor checks that the top of the parts is a node that is trusted already.
// Its size may differ if its own was computed and the stored one was not: two
// siblings known by hash are only covered by the sum of their sizes. Then the
// stored sibling is put right as well.
func anchor(r Reader, top *subtree, c *Change) error {
	n, ok, err := r.Node(top.Index)
	if err != nil {
		return fmt.Errorf("read tree node %d: %w", top.Index, err)
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
		return fmt.Errorf("read tree node %d: %w", flattree.Sibling(top.Index), err)
	}
	if ok && n.Size+s.Size >= top.Size {
		s.Size = n.Size + s.Size - top.Size
		c.Nodes = append(c.Nodes, s)
	}
	return nil
}
