package merkle

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// Node is one node of the tree. Size is the number of bytes of all blocks under
// it, in stored form.
type Node = hypercrypto.TreeNode

// Reader gives access to stored nodes. Node reports false for a node that is
// not stored.
type Reader interface {
	Node(index uint64) (Node, bool, error)
}

// Errors of making proofs.
var (
	// ErrInvalidRequest: the request asks for something that no proof can be.
	ErrInvalidRequest = errors.New("merkle: invalid request")
	// ErrMissingNode: the proof needs a node that is not stored.
	ErrMissingNode = errors.New("merkle: node is not stored")
)

// Errors of checking proofs. All mean that the proof must not be used; which
// one tells how it went wrong.
var (
	// ErrOperation: nodes are missing, in the wrong order or lead nowhere. The
	// sender may simply have known another state of the log.
	ErrOperation = errors.New("merkle: proof does not fit")
	// ErrChecksum: the proof contradicts a trusted node.
	ErrChecksum = errors.New("merkle: checksum mismatch")
	// ErrSignature: the new state is not signed as the core demands.
	ErrSignature = errors.New("merkle: invalid signature")
	// ErrProof: the proof breaks a rule of the core, such as its prologue.
	ErrProof = errors.New("merkle: invalid proof")
)

func get(r Reader, index uint64) (Node, error) {
	n, ok, err := r.Node(index)
	if err != nil {
		return Node{}, fmt.Errorf("read tree node %d: %w", index, err)
	}
	if !ok {
		return Node{}, fmt.Errorf("%w: %d", ErrMissingNode, index)
	}
	return n, nil
}

// Leaf returns the node over a block.
func Leaf(block uint64, data []byte) Node {
	return Node{Index: 2 * block, Size: uint64(len(data)), Hash: hypercrypto.LeafHash(data)}
}

// Leaves sets dst to the nodes over consecutive blocks from start on.
func Leaves(dst []Node, start uint64, blocks [][]byte) {
	if len(blocks) == 1 {
		dst[0] = Leaf(start, blocks[0])
		return
	}
	hashes := make([]hypercrypto.Hash, len(blocks))
	hypercrypto.LeafHashes(hashes, blocks)
	for i, b := range blocks {
		dst[i] = Node{Index: 2 * (start + uint64(i)), Size: uint64(len(b)), Hash: hashes[i]}
	}
}

// Parent returns the node over two siblings, given in any order.
func Parent(a, b *Node) Node {
	if a.Index > b.Index {
		a, b = b, a
	}
	p := Node{Index: flattree.Parent(a.Index), Size: a.Size + b.Size}
	p.Hash = hypercrypto.ParentHash(p.Size, &a.Hash, &b.Hash)
	return p
}
