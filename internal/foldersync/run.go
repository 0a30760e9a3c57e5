package foldersync

import (
	"context"
	"errors"
	"time"
)

// onceRounds is how often Once looks again at what changed meanwhile.
const onceRounds = 10

// Once makes folder and tree equal, as far as it can, and returns. What could not be kept in sync
// is in Status. ErrAsking says that a person has to decide.
func (f *Folder) Once(ctx context.Context) error {
	f.dirty.take(time.Now().Add(time.Hour))
	paths := []string{""}
	for round := range onceRounds {
		if err := f.push(ctx, paths); err != nil {
			return f.failed(err)
		}
		if err := f.pull(ctx); err != nil {
			return f.failed(err)
		}
		var next time.Time
		if paths, next = f.dirty.take(time.Now()); len(paths) == 0 {
			if next.IsZero() || time.Until(next) > settleCoarse || round == onceRounds-1 {
				break
			}
			select {
			case <-time.After(time.Until(next)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			paths, _ = f.dirty.take(time.Now())
		}
	}
	if err := f.idx.mark(); err != nil {
		return f.failed(err)
	}
	f.progress.state(StateIdle, "")
	return nil
}

// failed shows an error in the status and returns it.
func (f *Folder) failed(err error) error {
	text, hints := explain(err)
	switch {
	case errors.Is(err, ErrAsking):
		f.progress.state(StateAsking, text, hints...)
	case errors.Is(err, errFull):
		f.progress.state(StateFull, text, hints...)
	default:
		f.progress.state(StateIdle, text, hints...)
	}
	return err
}
