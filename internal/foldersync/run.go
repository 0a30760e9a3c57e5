package foldersync

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Times of Run.
const (
	defaultRescan = 10 * time.Minute
	blindRescan   = 30 * time.Second
	watchedPause  = 1000        // the pause between two looks at everything, in times of what one takes
	blindPause    = 20          // the same where the system cannot watch the folder
	firstRetry    = time.Second // after a failure; then twice as long each time
	lastRetry     = time.Minute
	askingRetry   = 5 * time.Second // while a person has to decide, or the disk is full
	pendingRetry  = 30 * time.Second
	markTime      = 2 * time.Second // how long what was agreed may not be durable
)

// onceRounds is how often Once looks again at what changed meanwhile.
const onceRounds = 10

// Once makes folder and tree equal, as far as it can, and returns. What could not be
// kept in sync is in Status. ErrAsking says that a person has to decide.
func (f *Folder) Once(ctx context.Context) error {
	f.dirty.take(time.Now().Add(time.Hour))
	paths := []string{""}
	for round := 0; ; round++ {
		if err := f.pass(ctx, partPush, func() error { return f.push(ctx, paths) }); err != nil {
			return err
		}
		if err := f.pass(ctx, partPull, func() error { return f.pull(ctx) }); err != nil {
			return err
		}
		var next time.Time
		paths, next = f.dirty.take(time.Now())
		if round == onceRounds || len(paths) == 0 && (next.IsZero() || time.Until(next) > settleCoarse) {
			return errors.Join(f.idx.mark(), f.idx.compact())
		}
		if len(paths) == 0 {
			if err := sleep(ctx, time.Until(next)); err != nil {
				return err
			}
			paths, _ = f.dirty.take(time.Now())
		}
	}
}

// Run keeps folder and tree equal until ctx ends. Failures are shown in Status, and
// tried again.
func (f *Folder) Run(ctx context.Context) error {
	w := f.startWatch()
	f.progress.begin() // the first pass over the tree is due
	kick := make(chan struct{}, 1)
	marks := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })
	wg.Go(func() { f.pushLoop(ctx, w, kick, marks) })
	wg.Go(func() { f.largeLoop(ctx, kick, marks) })
	wg.Go(func() { f.pullLoop(ctx, kick, marks) })
	wg.Go(func() { f.markLoop(ctx, marks) })
	if f.opts.Selection.everything() && f.opts.MinFree == 0 {
		wg.Go(func() { f.tree.Follow(ctx) })
	}
	wg.Wait()
	return errors.Join(w.stop(), f.idx.mark())
}

// pass is one push or pull, whose failure is shown.
func (f *Folder) pass(ctx context.Context, part part, fn func() error) error {
	f.progress.begin()
	err := fn()
	if errors.Is(err, errDamaged) {
		// It is tried again, without what was known.
		f.damaged(err)
		err = errors.Join(err, f.reset())
		f.dirty.add("")
	}
	if ctx.Err() != nil {
		f.progress.end(part, nil) // nothing went wrong
		return context.Cause(ctx)
	}
	f.progress.end(part, err)
	return err
}

// pushLoop puts changes on disk into the tree.
func (f *Folder) pushLoop(ctx context.Context, w *watcher, kick, marks chan<- struct{}) {
	wake := f.dirty.notify()
	paths := []string{""}
	var wait retry
	for {
		err := f.pass(ctx, partPush, func() error { return f.push(ctx, paths) })
		if ctx.Err() != nil {
			return
		}
		last := f.looked.Load()
		full := time.NewTimer(time.Until(last.at.Add(f.rescan(w, last.took))))
		if err != nil {
			for _, path := range paths {
				f.dirty.add(path)
			}
			if sleep(ctx, wait.after(err)) != nil {
				return
			}
		} else {
			wait = retry{}
		}
		signal(kick)
		signal(marks)
		if paths = f.dirty.next(ctx, wake, full.C); paths == nil {
			return
		}
		full.Stop()
	}
}

// rescan returns after what time everything is looked at. A folder that takes long to
// look at is looked at less often: as long as the system tells what changes, for a
// thousandth of the time.
func (f *Folder) rescan(w *watcher, took time.Duration) time.Duration {
	every, pause := f.opts.Rescan, time.Duration(watchedPause)
	if every <= 0 {
		every = defaultRescan
	}
	if w.isBlind() {
		every, pause = min(every, blindRescan), blindPause
	}
	return max(every, pause*took)
}

// pullLoop puts changes of the tree on disk.
func (f *Folder) pullLoop(ctx context.Context, kick <-chan struct{}, marks chan<- struct{}) {
	first := true
	defer func() {
		if first {
			f.progress.end(partPull, nil)
		}
	}()
	// What is on disk is looked at first: it is compared with the tree there.
	select {
	case <-kick:
	case <-ctx.Done():
		return
	}
	var wait retry
	for {
		err := f.pass(ctx, partPull, func() error { return f.pull(ctx) })
		if ctx.Err() != nil {
			return
		}
		if first {
			first = false
			f.progress.end(partPull, err)
		}
		signal(marks)
		var again <-chan time.Time
		changed := f.tree.Changed()
		switch {
		case err != nil:
			again, changed = time.After(wait.after(err)), nil
		case f.hasPending():
			wait, again = retry{}, time.After(pendingRetry)
		default:
			wait = retry{}
		}
		select {
		case <-changed:
		case <-kick:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// markLoop makes what was agreed durable, and the memory small again, after work.
func (f *Folder) markLoop(ctx context.Context, marks <-chan struct{}) {
	for {
		select {
		case <-marks:
		case <-ctx.Done():
			return
		}
		if sleep(ctx, markTime) != nil {
			return
		}
		err := f.idx.mark()
		if err == nil && f.progress.idle() {
			err = f.idx.compact()
		}
		if err != nil {
			f.opts.Log.Warn("index is not durable", "folder", f.root, "error", err)
		}
	}
}

// retry is how long to wait after failures.
type retry struct{ last time.Duration }

func (r *retry) after(err error) time.Duration {
	if errors.Is(err, ErrAsking) || isFull(err) {
		return askingRetry
	}
	r.last = min(max(2*r.last, firstRetry), lastRetry)
	return r.last
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
