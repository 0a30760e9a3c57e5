package hypercrypto

import "github.com/tradle/cloudpal/hyper/compact"

// TreeNode is one node of a log's Merkle tree. Index is its flat-tree number,
// Size the number of bytes of all blocks under it, in stored form.
type TreeNode struct {
	Index uint64
	Size  uint64
	Hash  Hash
}

// minTreeNodeSize is the length of the shortest encoded node.
const minTreeNodeSize = 1 + 1 + 32

// AppendTo appends the wire form: uint index, uint size, 32 bytes of hash.
func (n *TreeNode) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, n.Index)
	b = compact.AppendUint(b, n.Size)
	return append(b, n.Hash[:]...)
}

// ReadTreeNode reads what [TreeNode.AppendTo] writes.
func ReadTreeNode(r *compact.Reader) TreeNode {
	return TreeNode{Index: r.Uint(), Size: r.Uint(), Hash: r.Fixed32()}
}

// AppendTreeNodes appends a count and the nodes.
func AppendTreeNodes(b []byte, nodes []TreeNode) []byte {
	b = compact.AppendUint(b, uint64(len(nodes)))
	for i := range nodes {
		b = nodes[i].AppendTo(b)
	}
	return b
}

// ReadTreeNodes reads a count and the nodes; nil if there are none or on error.
func ReadTreeNodes(r *compact.Reader) []TreeNode {
	n := r.Count(minTreeNodeSize)
	if n == 0 {
		return nil
	}
	nodes := make([]TreeNode, n)
	for i := range nodes {
		nodes[i] = ReadTreeNode(r)
	}
	if r.Err() != nil {
		return nil
	}
	return nodes
}
