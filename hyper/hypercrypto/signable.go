package hypercrypto

import "encoding/binary"

// TreeState is what a signature covers: the hash over the roots of a tree, its
// length in blocks and its fork.
type TreeState struct {
	Hash   Hash
	Length uint64
	Fork   uint64
}

// Signable returns the bytes that a signer signs. The context is the core key
// for manifests from version 1 on and the signer's namespace for version 0.
func (t *TreeState) Signable(context [32]byte) (b [112]byte) {
	copy(b[:], nsTree[:])
	copy(b[32:], context[:])
	t.put(b[64:])
	return b
}

// SignableCompat returns the bytes that the signer of a compat core signs.
func (t *TreeState) SignableCompat() (b [80]byte) {
	copy(b[:], nsTree[:])
	t.put(b[32:])
	return b
}

// SignableLegacy returns the bytes that signers of the oldest compat cores
// signed. It is for reading old data only.
func (t *TreeState) SignableLegacy() (b [48]byte) {
	t.put(b[:])
	return b
}

// put writes the 48 bytes that all forms end with.
func (t *TreeState) put(b []byte) {
	copy(b, t.Hash[:])
	binary.LittleEndian.PutUint64(b[32:], t.Length)
	binary.LittleEndian.PutUint64(b[40:], t.Fork)
}
