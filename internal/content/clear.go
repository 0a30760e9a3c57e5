package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Clear frees the storage of the blocks that contents have here, in the logs of all
// devices, except those in keep: what other contents need that are to stay. The logs
// do not get shorter, and other devices keep their blocks. Content whose list of
// parts is not held here is left alone: it was cleared before, or never was here.
//
// Who clears must be sure that keep has everything that is to stay; see
// [Blocks.Add]. keep may be nil.
func (s *Store) Clear(ctx context.Context, refs []Ref, keep *Blocks) error {
	l := s.logs()
	defer l.close()
	var parts, lists Blocks
	for _, ref := range refs {
		of, err := l.parts(ctx, ref, true)
		if errors.Is(err, hypercore.ErrNotAvailable) {
			continue
		}
		if err != nil {
			return err
		}
		for _, p := range of {
			if !p.Zeros() {
				parts.add(p.run())
			}
		}
		if ref.Table != nil {
			lists.add(ref.Table.run())
		}
	}
	if keep == nil {
		keep = new(Blocks)
	}
	// Lists go last, so that a crash leaves nothing behind that nobody names.
	for _, set := range []*Blocks{&parts, &lists} {
		if err := l.clear(ctx, set, keep); err != nil {
			return err
		}
	}
	return nil
}

func (l *logs) clear(ctx context.Context, set, keep *Blocks) error {
	for key := range set.logs {
		b, err := l.get(ctx, key)
		if err != nil {
			return err
		}
		for _, r := range set.Runs(key) {
			for _, run := range keep.without(Run{key, r}) {
				if err := b.Core().Clear(ctx, run.Start, run.End); err != nil {
					return fmt.Errorf("clear blocks %d to %d: %w", run.Start, run.End, err)
				}
			}
		}
	}
	return nil
}
