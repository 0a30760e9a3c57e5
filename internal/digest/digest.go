package digest

import (
	"fmt"
	"hash"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	// maxPlain is the length of the longest content that is hashed as one piece.
	maxPlain = 1 << 20
	// pieceSize is the length of the pieces of larger content, groupPieces how many are
	// hashed at once: as many as any processor hashes side by side.
	pieceSize   = 64 << 10
	groupPieces = 8
	groupSize   = groupPieces * pieceSize
)

// Digest hashes content that is written to it.
type Digest struct {
	plain hash.Hash // of content that is known to be small; nil: of others
	root  hash.Hash // of the leaf hashes; nil: there are no more than maxPlain bytes so far
	size  uint64
	held  []byte // what is in no hash yet: all without root, else less than a group
	sum   *hypercrypto.Hash

	leaves [groupPieces]hypercrypto.Hash // of the group at hand
}

// buffers are what is held is kept in, from the first write that needs it until the sum.
var buffers = sync.Pool{New: func() any { return new([maxPlain]byte) }}

// New returns a Digest of nothing yet.
func New() *Digest { return new(Digest) }

// NewSized is New for content that has no more than size bytes, which costs less memory
// if they are few.
func NewSized(size uint64) *Digest {
	d := New()
	if size <= maxPlain {
		d.plain = newHash(nil)
	}
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
	if d.plain != nil {
		d.plain.Reset()
	}
	d.root = nil
	d.size, d.held, d.sum = 0, d.held[:0], nil
}

// Write adds to the content. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	d.size += uint64(len(p))
	switch {
	case d.plain != nil:
		_, _ = d.plain.Write(p) // never fails
	case d.size <= maxPlain:
		d.hold(p)
	default:
		d.writeLarge(p)
	}
	return len(p), nil
}

// writeLarge adds to content of more than maxPlain bytes, of which groups are hashed
// where they lie if they are not torn.
func (d *Digest) writeLarge(p []byte) {
	if d.root == nil {
		d.root = newHash([]byte("cloudpal/content"))
		whole := len(d.held) / groupSize * groupSize
		d.add(d.held[:whole])
		d.held = append(d.held[:0], d.held[whole:]...)
	}
	for len(p) > 0 {
		if len(d.held) == 0 && len(p) >= groupSize {
			whole := len(p) / groupSize * groupSize
			d.add(p[:whole])
			p = p[whole:]
			continue
		}
		k := min(len(p), groupSize-len(d.held))
		d.hold(p[:k])
		if p = p[k:]; len(d.held) == groupSize {
			d.add(d.held)
			d.held = d.held[:0]
		}
	}
}

// hold keeps p, for which there is space.
func (d *Digest) hold(p []byte) {
	if d.held == nil {
		d.held = buffers.Get().(*[maxPlain]byte)[:0]
	}
	d.held = append(d.held, p...)
}

// add adds pieces to the root, of which only the last of all content may be short.
func (d *Digest) add(b []byte) {
	for len(b) > 0 {
		var pieces [groupPieces][]byte
		n := 0
		for ; n < groupPieces && len(b) > 0; n++ {
			k := min(len(b), pieceSize)
			pieces[n], b = b[:k], b[k:]
		}
		hypercrypto.LeafHashes(d.leaves[:n], pieces[:n])
		for i := range n {
			_, _ = d.root.Write(d.leaves[i][:]) // never fails
		}
	}
}

// Sum returns the hash of what was written since the start. After it, nothing may be
// written before Reset.
func (d *Digest) Sum() hypercrypto.Hash {
	if d.sum == nil {
		d.sum = new(hypercrypto.Hash)
		switch {
		case d.plain != nil:
			d.plain.Sum(d.sum[:0])
		case d.root == nil:
			*d.sum = hypercrypto.Sum(d.held)
		default:
			d.add(d.held)
			d.root.Sum(d.sum[:0])
		}
		if d.held != nil {
			buffers.Put((*[maxPlain]byte)(d.held[:maxPlain]))
			d.held = nil
		}
	}
	return *d.sum
}
