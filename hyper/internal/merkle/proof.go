package merkle

import "github.com/tradle/cloudpal/hyper/hypercrypto"

// Request asks for a proof. At most one of Block and Hash is served.
type Request struct {
	Block    *BlockRequest
	Hash     *HashRequest
	Seek     *SeekRequest
	Upgrade  *UpgradeRequest
	Manifest bool // send the manifest too
}

// BlockRequest asks for a block. Levels is how far its proof has to climb.
type BlockRequest struct{ Index, Levels uint64 }

// HashRequest asks for the tree node Index. Levels is how far its proof has to
// climb.
type HashRequest struct{ Index, Levels uint64 }

// SeekRequest asks for the nodes that find the byte at offset Bytes, where
// Padding bytes of each block do not count.
type SeekRequest struct{ Bytes, Padding uint64 }

// UpgradeRequest asks for the proof that a log of Start blocks grew by Length
// blocks.
type UpgradeRequest struct{ Start, Length uint64 }

// Proof answers a Request. Parts that were not asked for, or that need no proof
// of their own, are nil.
type Proof struct {
	Fork     uint64
	Block    *BlockPart
	Hash     *HashPart
	Seek     *SeekPart
	Upgrade  *UpgradePart
	Manifest *hypercrypto.Manifest
}

// BlockPart proves a block. Nodes are the siblings on the way up.
type BlockPart struct {
	Index uint64
	Value []byte
	Nodes []Node

	leaf *hypercrypto.Hash // of Value, once HashBlocks has computed it
}

// HashBlocks computes the hashes of blocks that are about to be verified. For
// several it is faster than what [Verifier.Verify] does for one. Their values
// must not change afterwards.
func HashBlocks(parts []*BlockPart) {
	if len(parts) < 2 {
		return
	}
	values := make([][]byte, len(parts))
	for i, p := range parts {
		values[i] = p.Value
	}
	hashes := make([]hypercrypto.Hash, len(parts))
	hypercrypto.LeafHashes(hashes, values)
	for i, p := range parts {
		p.leaf = &hashes[i]
	}
}

// node returns the leaf over the block.
func (p *BlockPart) node() Node {
	if p.leaf != nil {
		return Node{Index: 2 * p.Index, Size: uint64(len(p.Value)), Hash: *p.leaf}
	}
	return Leaf(p.Index, p.Value)
}

// HashPart proves a tree node. Nodes starts with the node itself.
type HashPart struct {
	Index uint64
	Nodes []Node
}

// SeekPart proves the nodes needed to find a byte. Nodes starts with the node
// that was found.
type SeekPart struct {
	Bytes uint64
	Nodes []Node
}

// UpgradePart proves growth. Nodes take the log from Start to Start+Length,
// Additional from there to the signed length. Signature is nil only at exactly
// the length of a prologue.
type UpgradePart struct {
	Start, Length uint64
	Nodes         []Node
	Additional    []Node
	Signature     []byte
}
