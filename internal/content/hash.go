package content

import (
	"context"
	"errors"
	"hash"
	"io"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// newHash returns the hash of content, BLAKE2b-256.
func newHash() hash.Hash {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // only a key can be wrong
	}
	return h
}

func sumOf(h hash.Hash) (sum hypercrypto.Hash) {
	h.Sum(sum[:0])
	return sum
}

// HashOf returns the hash and the length of what r has until EOF.
func HashOf(ctx context.Context, r io.Reader) (hypercrypto.Hash, uint64, error) {
	buf := *bufs.Get().(*[]byte)
	defer recycle(buf)
	h, size := newHash(), uint64(0)
	for {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		size += uint64(n)
		switch {
		case errors.Is(err, io.EOF):
			return sumOf(h), size, nil
		case err != nil:
			return hypercrypto.Hash{}, 0, err
		case ctx.Err() != nil:
			return hypercrypto.Hash{}, 0, context.Cause(ctx)
		}
	}
}
