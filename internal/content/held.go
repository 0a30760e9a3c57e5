package content

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Run is a run of blocks in a log.
type Run struct {
	Log hypercrypto.Key
	hyperblobs.Run
}

func (p Part) run() Run {
	return Run{p.Log, hyperblobs.Run{Start: p.Blob.BlockOffset, End: p.Blob.End()}}
}

// Has returns how many bytes of the content are held here, of how many. It never
// asks peers: content whose list of parts is not held counts as not held. Both are
// exact if all or nothing is held of each part; else held is an estimate from the
// number of blocks.
func (s *Store) Has(ctx context.Context, ref Ref) (held, total uint64, err error) {
	l := s.logs()
	defer l.close()
	parts, err := l.parts(ctx, ref, true)
	if errors.Is(err, hypercore.ErrNotAvailable) {
		return 0, ref.Size, nil
	}
	if err != nil {
		return 0, ref.Size, err
	}
	for _, p := range parts {
		n, err := l.held(ctx, p)
		if err != nil {
			return held, ref.Size, err
		}
		held += n
	}
	return held, ref.Size, nil
}

// held returns how many bytes of a part are held here.
func (l *logs) held(ctx context.Context, p Part) (uint64, error) {
	if p.Zeros() {
		return p.Size(), nil
	}
	b, err := l.get(ctx, p.Log)
	if err != nil {
		return 0, err
	}
	if b.Core().Has(p.Blob.BlockOffset, p.Blob.End()) {
		return p.Size(), nil
	}
	blocks := uint64(0)
	for start, end := range b.Core().Held(p.Blob.BlockOffset, p.Blob.End()) {
		blocks += end - start
	}
	return uint64(float64(p.Size()) * (float64(blocks) / float64(p.Blob.BlockLength))), nil
}

// Parts returns the parts of the content, and as the last one the list of them where it is
// in a log. A list that is not held here is fetched from peers.
func (s *Store) Parts(ctx context.Context, ref Ref) ([]Part, error) {
	if ref.Table == nil {
		return ref.Parts, ref.Check()
	}
	l := s.logs()
	defer l.close()
	parts, err := l.parts(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(parts), *ref.Table), nil
}

// Runs yields the blocks that the content needs, those of its list of parts last.
// A list that is not held here is fetched from peers.
func (s *Store) Runs(ctx context.Context, ref Ref) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		parts, err := s.Parts(ctx, ref)
		if err != nil {
			yield(Run{}, err)
			return
		}
		for _, p := range parts {
			if !p.Zeros() && !yield(p.run(), nil) {
				return
			}
		}
	}
}
