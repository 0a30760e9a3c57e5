package content

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// newRef returns the Ref of content with these parts, and how many bytes were
// stored for that: a list that is too long for the Ref goes into a blob.
func (s *Store) newRef(ctx context.Context, r Ref, parts []Part) (Ref, uint64, error) {
	r.Parts, r.Table = parts, nil
	if len(parts) < maxInline { // more cannot fit
		if list := appendParts(nil, parts); len(list) <= maxInline {
			return r, 0, nil
		}
	}
	list := appendParts(nil, parts)
	id, err := s.own.Put(ctx, list)
	if err != nil {
		return Ref{}, 0, fmt.Errorf("store the list of parts: %w", err)
	}
	r.Parts, r.Table = nil, &Part{Log: s.key, Blob: id}
	return r, uint64(len(list)), nil
}

// parts returns the parts of r. With local, a table that is not held here is
// hypercore.ErrNotAvailable.
func (l *logs) parts(ctx context.Context, r Ref, local bool) ([]Part, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if r.Table == nil {
		return r.Parts, nil
	}
	b, err := l.get(ctx, r.Table.Log)
	if err != nil {
		return nil, err
	}
	if blob := r.Table.Blob; local && !b.Core().Has(blob.BlockOffset, blob.End()) {
		return nil, fmt.Errorf("read the list of parts: %w", hypercore.ErrNotAvailable)
	}
	return readTable(ctx, b, r)
}

func readTable(ctx context.Context, b *hyperblobs.Blobs, r Ref) ([]Part, error) {
	list, err := b.Get(ctx, r.Table.Blob)
	if err != nil {
		return nil, fmt.Errorf("read the list of parts: %w", err)
	}
	parts, err := decodeParts(list)
	if err != nil {
		return nil, err
	}
	return parts, checkParts(r.Size, parts)
}
