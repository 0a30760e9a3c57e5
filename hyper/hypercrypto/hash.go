package hypercrypto

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"
)

// Sum hashes the concatenation of parts.
func Sum(parts ...[]byte) Hash {
	if len(parts) == 1 {
		return blake2b.Sum256(parts[0])
	}
	h, _ := blake2b.New256(nil)
	for _, p := range parts {
		h.Write(p)
	}
	var out Hash
	h.Sum(out[:0])
	return out
}

// KeyedSum hashes the concatenation of parts with BLAKE2b's keyed mode. key has
// at most 64 bytes; a longer one is a programming error and panics.
func KeyedSum(key []byte, parts ...[]byte) Hash {
	h, err := blake2b.New256(key)
	if err != nil {
		panic("hypercrypto: " + err.Error())
	}
	for _, p := range parts {
		h.Write(p)
	}
	var out Hash
	h.Sum(out[:0])
	return out
}

// Namespace returns entry id of the named family of 32-byte constants that keep
// uses of one key apart.
func Namespace(name string, id byte) Hash {
	h := Sum([]byte(name))
	return Sum(h[:], []byte{id})
}

// Namespaces of the log itself.
var (
	nsTree               = Namespace("hypercore", 0)
	nsReplicateInitiator = Namespace("hypercore", 1)
	nsReplicateResponder = Namespace("hypercore", 2)
	nsManifest           = Namespace("hypercore", 3)
	nsDefaultNamespace   = Namespace("hypercore", 4)
	nsDefaultEncryption  = Namespace("hypercore", 5)
	discoveryKeyMessage  = []byte("hypercore")
	hashTypeLeaf         = byte(0)
	hashTypeParent       = byte(1)
	hashTypeRoot         = byte(2)
)

// DefaultNamespace is the namespace of a signer when the manifest gives none.
func DefaultNamespace() [32]byte { return nsDefaultNamespace }

// Discovery returns the discovery key of k.
func (k Key) Discovery() DiscoveryKey {
	return DiscoveryKey(KeyedSum(k[:], discoveryKeyMessage))
}

// LeafHash returns the hash of the tree node over one block.
func LeafHash(block []byte) Hash {
	const stackMax = 512
	if len(block) <= stackMax {
		var buf [9 + stackMax]byte
		buf[0] = hashTypeLeaf
		binary.LittleEndian.PutUint64(buf[1:], uint64(len(block)))
		n := copy(buf[9:], block)
		return blake2b.Sum256(buf[:9+n])
	}
	var head [9]byte
	head[0] = hashTypeLeaf
	binary.LittleEndian.PutUint64(head[1:], uint64(len(block)))
	h, _ := blake2b.New256(nil)
	h.Write(head[:])
	h.Write(block)
	var out Hash
	h.Sum(out[:0])
	return out
}

// ParentHash returns the hash of the tree node over two children, left the one
// with the lower index. size is the sum of the children's sizes.
func ParentHash(size uint64, left, right *Hash) Hash {
	var buf [1 + 8 + 64]byte
	buf[0] = hashTypeParent
	binary.LittleEndian.PutUint64(buf[1:], size)
	copy(buf[9:], left[:])
	copy(buf[41:], right[:])
	return blake2b.Sum256(buf[:])
}

// TreeHasher computes the hash over the roots of a tree: what is signed.
type TreeHasher struct{ buf []byte }

// Add adds the next root, from left to right.
func (t *TreeHasher) Add(index, size uint64, hash *Hash) {
	if t.buf == nil {
		t.buf = append(make([]byte, 0, 1+48*24), hashTypeRoot)
	}
	t.buf = append(t.buf, hash[:]...)
	t.buf = binary.LittleEndian.AppendUint64(t.buf, index)
	t.buf = binary.LittleEndian.AppendUint64(t.buf, size)
}

// Sum returns the hash over the roots added so far.
func (t *TreeHasher) Sum() Hash {
	if t.buf == nil {
		return blake2b.Sum256([]byte{hashTypeRoot})
	}
	return blake2b.Sum256(t.buf)
}

// Capability proves, on one connection, that the sender knows key. initiator
// tells whether the sender is the Noise initiator of the connection whose
// handshake hash is given.
func Capability(key Key, handshakeHash *[64]byte, initiator bool) Hash {
	ns := &nsReplicateResponder
	if initiator {
		ns = &nsReplicateInitiator
	}
	return KeyedSum(handshakeHash[:], ns[:], key[:])
}
