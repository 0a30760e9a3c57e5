package filetree

import (
	"context"
	"iter"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

// Reader reads a state. Results stay valid and are not changed.
type Reader interface {
	Get(ctx context.Context, key []byte) (value []byte, ok bool, err error)
	Entries(ctx context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error]
}

// Store is a state that can be changed. It copies keys and values that it keeps.
type Store interface {
	Reader
	Put(ctx context.Context, key, value []byte) error
	Del(ctx context.Context, key []byte) error
}
