package hyperbee

import (
	"bytes"
	"context"
)

// Constants of the format: a node is split at maxKeys keys and merged below
// minKeys.
const (
	minKeys = 4
	maxKeys = 2*minKeys + 1
)

// node is a tree node that a writer has in memory. The bytes of a batch depend
// on the identity of nodes and children over its operations, so both are
// changed in place and never copied; docs/protocol/hyperbee.md has the rules.
type node struct {
	keys     []key
	children []*child
	changed  bool // goes into the next block
	stored   bool // read from a block and in no pending one
}

// child refers to a node by its address. node is nil until it is read. A
// child removed from the tree has seq 0.
type child struct {
	seq, offset uint64
	node        *node
}

// leafNode and innerNode are nodes with the memory for the keys and children
// they can get.
type leafNode struct {
	node
	keyBuf [maxKeys]key
}

type innerNode struct {
	node
	keyBuf   [maxKeys]key
	childBuf [maxKeys + 1]*child
}

func newNode(inner bool) *node {
	if inner {
		n := &innerNode{}
		n.keys, n.children = n.keyBuf[:0], n.childBuf[:0]
		return &n.node
	}
	n := &leafNode{}
	n.keys = n.keyBuf[:0]
	return &n.node
}

// nodeOf returns a node with the content of a frame.
func nodeOf(f *frame) *node {
	n := newNode(len(f.kids) > 0)
	n.stored = true
	n.keys = append(n.keys, f.keys...)
	if len(f.kids) == 0 {
		return n
	}
	children := make([]child, len(f.kids))
	for i, k := range f.kids {
		children[i] = child{seq: k.seq, offset: k.offset}
		n.children = append(n.children, &children[i])
	}
	return n
}

func (n *node) leaf() bool { return len(n.children) == 0 }

// search looks for target among the keys; see frame.search.
func (n *node) search(ctx context.Context, w *writer, target []byte) (pos int, found bool, err error) {
	lo, hi := 0, len(n.keys)
	for lo < hi {
		mid := (lo + hi) >> 1
		k := &n.keys[mid]
		if k.b == nil {
			if k.b, err = w.r.key(ctx, k.seq); err != nil {
				return 0, false, err
			}
		}
		switch c := bytes.Compare(target, k.b); {
		case c == 0:
			return mid, true, nil
		case c < 0:
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return lo, false, nil
}

func (n *node) insertKey(pos int, k key) {
	n.keys = append(n.keys, key{})
	copy(n.keys[pos+1:], n.keys[pos:])
	n.keys[pos] = k
}

func (n *node) insertChild(pos int, c *child) {
	n.children = append(n.children, nil)
	copy(n.children[pos+1:], n.children[pos:])
	n.children[pos] = c
}

// removeKey drops key i and the child after it, which is marked as removed.
func (n *node) removeKey(i int) {
	n.dropKey(i)
	if !n.leaf() {
		n.children[i+1].seq = 0
		n.dropChild(i + 1)
	}
	n.changed = true
}

func (n *node) dropKey(i int) {
	copy(n.keys[i:], n.keys[i+1:])
	n.keys[len(n.keys)-1] = key{}
	n.keys = n.keys[:len(n.keys)-1]
}

func (n *node) dropChild(i int) {
	copy(n.children[i:], n.children[i+1:])
	n.children[len(n.children)-1] = nil
	n.children = n.children[:len(n.children)-1]
}

// split moves the upper half of the keys to a new node and returns it with the
// key that goes between the two.
func (n *node) split() (median key, right *node) {
	half := len(n.keys) >> 1
	right = newNode(!n.leaf())
	right.changed = true
	at := len(n.keys) - half
	right.keys = append(right.keys, n.keys[at:]...)
	median = n.keys[at-1]
	clear(n.keys[at-1:])
	n.keys = n.keys[:at-1]
	if !n.leaf() {
		at := len(n.children) - half - 1
		right.children = append(right.children, n.children[at:]...)
		clear(n.children[at:])
		n.children = n.children[:at]
	}
	n.changed = true
	return median, right
}

// collect appends the children that refer to changed nodes below n to index, in
// pre-order with a first place for n itself, and gives them their addresses in
// block seq. Nodes lose the mark.
func (n *node) collect(index []*child, seq uint64) []*child {
	index = append(index, nil)
	n.changed, n.stored = false, false
	for _, c := range n.children {
		if c.node == nil || !c.node.changed {
			continue
		}
		c.seq, c.offset = seq, uint64(len(index))
		index = c.node.collect(index, seq)
		index[c.offset] = c
	}
	return index
}
