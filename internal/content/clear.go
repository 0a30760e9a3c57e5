package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
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
		if err := ClearRuns(ctx, b.Core(), keep.Without(key, set.Runs(key))); err != nil {
			return err
		}
	}
	return nil
}

// ClearRuns frees the storage of runs of blocks of one log, also that of small ones, at
// once.
func ClearRuns(ctx context.Context, core *hypercore.Core, runs []hyperblobs.Run) error {
	cleared := false
	for _, r := range runs {
		for start, end := range core.Held(r.Start, r.End) {
			if err := core.Clear(ctx, start, end); err != nil {
				return fmt.Errorf("clear blocks %d to %d: %w", start, end, err)
			}
			cleared = true
		}
	}
	if !cleared {
		return nil
	}
	return core.Shrink(ctx)
}
