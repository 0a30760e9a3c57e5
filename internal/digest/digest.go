package digest

import (
	"fmt"
	"hash"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	// maxPlain is the length of the longest content that is hashed as one piece.
	maxPlain = 1 << 20
	// pieceSize is the length of the pieces of larger content, lanes how many are hashed
	// at once.
	pieceSize = 64 << 10
	lanes     = 4
)

// Digest hashes content that is written to it.
type Digest struct {
	plain hash.Hash // of the first maxPlain bytes
	root  hash.Hash // of the leaf hashes; nil: none yet
	size  uint64
	small bool   // there are no more than maxPlain bytes
	group []byte // what is not in root yet, less than lanes pieces
	sum   *hypercrypto.Hash
}

// New returns a Digest of nothing yet.
func New() *Digest { return &Digest{plain: newHash(nil)} }

// NewSized is New for content that has no more than size bytes, which costs less if they
// are few.
func NewSized(size uint64) *Digest {
	d := New()
	d.small = size <= maxPlain
	return d
}

func newHash(key []byte) hash.Hash {
	h, err := blake2b.New256(key)
	if err != nil {
		panic(fmt.Sprintf("BLAKE2b with a key of %d bytes: %v", len(key), err))
	}
	return h
}

// Sum returns the hash of content.
func Sum(content []byte) hypercrypto.Hash {
	if len(content) <= maxPlain {
		return hypercrypto.Sum(content)
	}
	d := New()
	_, _ = d.Write(content) // never fails
	return d.Sum()
}

// Reset begins anew.
func (d *Digest) Reset() {
	d.plain.Reset()
	d.root = nil
	d.size, d.group, d.sum = 0, d.group[:0], nil
}

// Write adds to the content. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	if d.size < maxPlain {
		_, _ = d.plain.Write(p[:min(uint64(len(p)), maxPlain-d.size)])
	}
	d.size += uint64(len(p))
	n := len(p)
	for len(p) > 0 && !d.small {
		if len(d.group) == 0 && len(p) >= lanes*pieceSize {
			d.add(p[:lanes*pieceSize])
			p = p[lanes*pieceSize:]
			continue
		}
		if d.group == nil {
			d.group = make([]byte, 0, lanes*pieceSize)
		}
		k := min(len(p), lanes*pieceSize-len(d.group))
		d.group = append(d.group, p[:k]...)
		if p = p[k:]; len(d.group) == lanes*pieceSize {
			d.add(d.group)
			d.group = d.group[:0]
		}
	}
	return n, nil
}

// add adds pieces to the root, at most one for each lane.
func (d *Digest) add(b []byte) {
	var pieces [lanes][]byte
	var leaves [lanes]hypercrypto.Hash
	n := 0
	for ; len(b) > 0; n++ {
		k := min(len(b), pieceSize)
		pieces[n], b = b[:k], b[k:]
	}
	if d.root == nil {
		d.root = newHash([]byte("cloudpal/content"))
	}
	hypercrypto.LeafHashes(leaves[:n], pieces[:n])
	for i := range n {
		_, _ = d.root.Write(leaves[i][:])
	}
}

// Sum returns the hash of what was written since the start. After it, nothing may be
// written before Reset.
func (d *Digest) Sum() hypercrypto.Hash {
	if d.sum == nil {
		h := d.plain
		if d.size > maxPlain {
			d.add(d.group)
			h = d.root
		}
		d.sum = new(hypercrypto.Hash)
		h.Sum(d.sum[:0])
	}
	return *d.sum
}
