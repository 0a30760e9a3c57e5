package content

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

// Batch stores many small contents with one append. It is not safe for concurrent
// use.
type Batch struct {
	s     *Store
	blobs *hyperblobs.Batch
	refs  []Ref
	at    []int // position in blobs; -1 for empty content
	known map[hypercrypto.Hash]int
}

// Batch returns an empty batch.
func (s *Store) Batch() (*Batch, error) {
	if s.own == nil {
		return nil, ErrReadOnly
	}
	return &Batch{s: s, blobs: s.own.Batch(), known: make(map[hypercrypto.Hash]int)}, nil
}

// Add adds content, stored once if the batch has it already. The batch refers to
// data until Flush. The result tells size and hash; where the content is will be
// in what Flush returns, in the order of the Add calls.
func (t *Batch) Add(data []byte) Ref { return t.AddHashed(data, digest.Sum(data)) }

// AddHashed is Add of data whose hash is known.
func (t *Batch) AddHashed(data []byte, hash hypercrypto.Hash) Ref {
	ref := Ref{Size: uint64(len(data)), Hash: hash}
	at, ok := t.known[ref.Hash]
	switch {
	case len(data) == 0:
		at = -1
	case !ok:
		at = t.blobs.Add(data)
		t.known[ref.Hash] = at
	}
	t.refs = append(t.refs, ref)
	t.at = append(t.at, at)
	return ref
}

// Len returns how many contents wait to be flushed.
func (t *Batch) Len() int { return len(t.refs) }

// Bytes returns how many bytes wait to be flushed.
func (t *Batch) Bytes() uint64 { return t.blobs.Bytes() }

// Flush stores all contents in one atomic append and empties the batch.
func (t *Batch) Flush(ctx context.Context) ([]Ref, error) {
	refs, at := t.refs, t.at
	t.refs, t.at = nil, nil
	clear(t.known)
	ids, err := t.blobs.Flush(ctx)
	if err != nil {
		return nil, fmt.Errorf("store %d contents: %w", len(refs), err)
	}
	for i := range refs {
		if at[i] >= 0 {
			refs[i].Parts = []Part{{Log: t.s.key, Blob: ids[at[i]]}}
		}
	}
	return refs, nil
}
