package content

import (
	"context"
	"errors"
	"io"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

// HashOf returns the hash and the length of what r has until EOF.
func HashOf(ctx context.Context, r io.Reader) (hypercrypto.Hash, uint64, error) {
	buf := *bufs.Get().(*[]byte)
	defer recycle(buf)
	h, size := digest.New(), uint64(0)
	for {
		n, err := r.Read(buf)
		_, _ = h.Write(buf[:n]) // never fails
		size += uint64(n)
		switch {
		case errors.Is(err, io.EOF):
			return h.Sum(), size, nil
		case err != nil:
			return hypercrypto.Hash{}, 0, err
		case ctx.Err() != nil:
			return hypercrypto.Hash{}, 0, context.Cause(ctx)
		}
	}
}
