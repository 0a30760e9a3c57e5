package merkle

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// Prove makes the proof that answers req for the log in state t, whose nodes r
// holds. prologue is the length of the core's prologue, 0 if it has none. The
// value of a block, the signature and the manifest are left for the caller to
// fill in.
//
// The error is [ErrInvalidRequest] for a request that cannot be answered and
// [ErrMissingNode] if r lacks a node that the proof needs; both are the
// requester's bad luck, not damage.
func (t *Tree) Prove(r Reader, req *Request, prologue uint64) (*Proof, error) {
	p := &prover{tree: t, r: r, proof: &Proof{Fork: t.Fork}}
	if err := p.run(req, prologue); err != nil {
		return nil, err
	}
	return p.proof, nil
}

// A prover collects the parts of one proof. The first error sticks.
type prover struct {
	tree  *Tree
	r     Reader
	proof *Proof
	err   error

	target *target // the block or node asked for; nil if none

	// anchor is a node that the growth of the log has to lead to: the target
	// or the place of a seek. nil if there is none or once it was proved.
	anchor *uint64
}

type target struct {
	index     uint64 // tree index
	lastBlock uint64 // last block below it
	levels    uint64
	isBlock   bool
	proved    bool
}

func (p *prover) run(req *Request, prologue uint64) error {
	t := p.tree
	if t.Length == 0 {
		return nil
	}
	from, to := uint64(0), 2*t.Length
	upgrade := req.Upgrade
	if upgrade != nil {
		if upgrade.Start < prologue {
			upgrade = &UpgradeRequest{Start: 0, Length: prologue}
		}
		if upgrade.Start > t.Length || upgrade.Length > t.Length-upgrade.Start || upgrade.Length == 0 {
			return fmt.Errorf("%w: upgrade from %d by %d in a log of %d blocks", ErrInvalidRequest, upgrade.Start, upgrade.Length, t.Length)
		}
		from, to = 2*upgrade.Start, 2*(upgrade.Start+upgrade.Length)
	}
	switch {
	case req.Block != nil:
		p.target = &target{index: 2 * req.Block.Index, lastBlock: req.Block.Index, levels: req.Block.Levels, isBlock: true}
	case req.Hash != nil:
		p.target = &target{index: req.Hash.Index, lastBlock: flattree.RightSpan(req.Hash.Index) / 2, levels: req.Hash.Levels}
	}
	if p.target != nil && (p.target.lastBlock >= maxBlocks || p.target.index >= 2*maxBlocks) {
		return fmt.Errorf("%w: beyond the last possible block", ErrInvalidRequest)
	}
	if req.Seek != nil && upgrade != nil && p.target != nil && p.target.index >= from {
		return fmt.Errorf("%w: seek and target in one upgrade", ErrInvalidRequest)
	}

	switch {
	case p.target != nil && (upgrade == nil || p.target.lastBlock < upgrade.Start):
		if err := p.below(req.Seek, to); err != nil {
			return err
		}
	case upgrade != nil && p.target != nil:
		p.anchor = &p.target.index
	case upgrade != nil && req.Seek != nil:
		p.anchor = p.locate(to, req.Seek)
	}
	if upgrade != nil {
		part := &UpgradePart{Start: upgrade.Start, Length: upgrade.Length}
		part.Nodes = p.grow(from, to)
		p.anchor = nil
		if to < 2*t.Length {
			part.Additional = p.grow(to, 2*t.Length)
		}
		p.proof.Upgrade = part
	}
	if p.err != nil {
		return p.err
	}
	if p.target != nil && !p.target.proved {
		return fmt.Errorf("%w: block or node outside of the upgrade", ErrInvalidRequest)
	}
	if p.proof.Seek != nil {
		p.proof.Seek.Bytes = req.Seek.Bytes
	}
	return nil
}

// maxBlocks bounds block numbers so that tree indexes stay integers that the
// wire can carry.
const maxBlocks = (compact.MaxUint + 1) / 2

// below proves a target in the part of the log that the requester has.
func (p *prover) below(seek *SeekRequest, end uint64) error {
	top := p.target.index
	if flattree.RightSpan(top) >= end {
		return fmt.Errorf("%w: node %d is beyond the log", ErrInvalidRequest, top)
	}
	for range p.target.levels {
		top = flattree.Parent(top)
		if flattree.Contains(top, end) {
			return fmt.Errorf("%w: climbs beyond the roots", ErrInvalidRequest)
		}
	}
	if seek == nil {
		p.path(nil, top)
		return p.err
	}
	x, err := p.locateBelow(top, seek)
	if err != nil {
		return err
	}
	p.path(&x, top)
	return p.err
}

// path proves the target, the place of a seek, or both, up to top. At the level
// where the two ways meet, the seek's top stands in for the target's sibling.
func (p *prover) path(seek *uint64, top uint64) {
	if p.target == nil {
		p.proof.Seek = &SeekPart{Nodes: p.climb(nil, *seek, top)}
		return
	}
	t := p.target
	t.proved = true
	var nodes []Node
	if !t.isBlock {
		nodes = p.add(nodes, t.index)
	}
	for x := t.index; x != top; x = flattree.Parent(x) {
		s := flattree.Sibling(x)
		if seek != nil && s != *seek && flattree.Contains(s, *seek) {
			p.proof.Seek = &SeekPart{Nodes: p.climb(nil, *seek, s)}
			continue
		}
		nodes = p.add(nodes, s)
	}
	if t.isBlock {
		p.proof.Block = &BlockPart{Index: t.index / 2, Nodes: nodes}
	} else {
		p.proof.Hash = &HashPart{Index: t.index, Nodes: nodes}
	}
}

// climb appends the node x and the siblings on the way from it to top.
func (p *prover) climb(nodes []Node, x, top uint64) []Node {
	nodes = p.add(nodes, x)
	for ; x != top; x = flattree.Parent(x) {
		nodes = p.add(nodes, flattree.Sibling(x))
	}
	return nodes
}

// grow returns the nodes that take a log from tree index from to tree index to.
func (p *prover) grow(from, to uint64) []Node {
	var nodes []Node
	for x := range growth(from, to) {
		if p.anchor == nil || !flattree.Contains(x, *p.anchor) {
			nodes = p.add(nodes, x)
			continue
		}
		anchor := p.anchor
		p.anchor = nil
		p.path(anchor, x)
	}
	return nodes
}

// locate finds the node at which a seek ends in a log that ends before tree
// index to; nil if it ends nowhere.
func (p *prover) locate(to uint64, seek *SeekRequest) *uint64 {
	bytes := seek.Bytes
	var buf [64]uint64
	for _, root := range flattree.FullRoots(to/2, buf[:0]) {
		n, err := get(p.r, root)
		if err != nil {
			p.fail(err)
			return nil
		}
		size := unpadded(&n, seek.Padding)
		switch {
		case size == bytes:
			return &root
		case size < bytes:
			bytes -= size
		default:
			x := p.descend(root, bytes, seek.Padding)
			return &x
		}
	}
	return nil
}

// locateBelow finds the node at which a seek ends below top.
func (p *prover) locateBelow(top uint64, seek *SeekRequest) (uint64, error) {
	offset, err := p.tree.ByteOffset(p.r, top)
	if err != nil {
		return 0, err
	}
	n, err := get(p.r, top)
	if err != nil {
		return 0, err
	}
	leaves := flattree.LeftSpan(top) / 2
	if seek.Padding > 0 && leaves > offset/seek.Padding {
		offset = 0
	} else {
		offset -= leaves * seek.Padding
	}
	if offset > seek.Bytes {
		return 0, fmt.Errorf("%w: seek before the node", ErrInvalidRequest)
	}
	rest := seek.Bytes - offset
	if rest == 0 {
		return top, nil
	}
	if unpadded(&n, seek.Padding) <= rest {
		return 0, fmt.Errorf("%w: seek behind the node", ErrInvalidRequest)
	}
	return p.descend(top, rest, seek.Padding), nil
}

// descend goes down from x to the node at which the byte offset ends, as far
// as nodes are stored.
func (p *prover) descend(x, bytes, padding uint64) uint64 {
	if bytes == 0 {
		return x
	}
	for flattree.Depth(x) > 0 {
		left, right := flattree.Children(x)
		n, ok, err := p.r.Node(left)
		if err != nil {
			p.fail(err)
			return x
		}
		if !ok {
			return x
		}
		size := unpadded(&n, padding)
		switch {
		case size == bytes:
			return left
		case size > bytes:
			x = left
		default:
			bytes -= size
			x = right
		}
	}
	return x
}

func (p *prover) add(nodes []Node, x uint64) []Node {
	if p.err != nil {
		return nodes
	}
	n, err := get(p.r, x)
	if err != nil {
		p.fail(err)
		return nodes
	}
	return append(nodes, n)
}

func (p *prover) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}
