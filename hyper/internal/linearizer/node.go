package linearizer

import (
	"bytes"
	"cmp"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Ref names a node: the key of its writer's log and the length of that log with
// the node as its last block.
type Ref struct {
	Key    hypercrypto.Key
	Length uint64
}

// Node is one node of the graph. What it refers to must not change once it was
// added.
type Node struct {
	Ref
	// Heads are the nodes that had no successor when it was written. Those that
	// are confirmed no longer matter.
	Heads []Ref
	// Batch counts down to 1 over the nodes that one append wrote.
	Batch uint64
	// Optimistic nodes are by somebody who is no member.
	Optimistic bool
	// Empty nodes have no value: they only say what their writer has seen.
	Empty bool
	// Value is anything that belongs to the node. It is not looked at.
	Value any

	writer    *writer
	deps      []*Node  // unconfirmed when it was added: heads in order, then the own node before
	clock     []uint64 // per indexer, the length of its log as seen from here
	confirmed bool
	at        int // place in a list that is being ordered
	mark      int // of the walk that visited it last
	round     int // see AckHelps
}

// sees tells whether n was written after o, or is o, which is by an indexer.
func (n *Node) sees(o *Node) bool { return n.clock[o.writer.indexer] >= o.Length }

// links tells whether n must come directly or later after o, by itself and not
// because of a node between them.
func (n *Node) links(o *Node) bool {
	if n.writer == o.writer && n.Length == o.Length+1 {
		return true
	}
	for _, d := range n.deps {
		if d == o {
			return true
		}
	}
	return false
}

// compare is the order of nodes that have nothing to do with each other.
func compare(a, b *Node) int {
	if a.writer == b.writer {
		return cmp.Compare(a.Length, b.Length)
	}
	return bytes.Compare(a.Key[:], b.Key[:])
}

// writer is a log and those of its nodes that are not confirmed.
type writer struct {
	key     hypercrypto.Key
	indexer int    // its place among the indexers, -1 if it is none
	offset  uint64 // nodes that were dropped
	nodes   []*Node

	gone  uint64 // highest confirmed length
	known bool   // gone is known

	started bool // offset was given
}

// length is how many nodes were added, dropped ones included.
func (w *writer) length() uint64 { return w.offset + uint64(len(w.nodes)) }

// get returns the node with an index, nil if it was not added or was dropped.
func (w *writer) get(i uint64) *Node {
	if i < w.offset || i-w.offset >= uint64(len(w.nodes)) {
		return nil
	}
	return w.nodes[i-w.offset]
}

// before is get(length-1), nil for length 0.
func (w *writer) before(length uint64) *Node {
	if length == 0 {
		return nil
	}
	return w.get(length - 1)
}
