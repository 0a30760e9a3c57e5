package folders

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/foldersync"
)

// A folder that fails is tried again, at first soon.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// runner keeps one folder equal.
type runner struct {
	record Record
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards what follows
	folder *foldersync.Folder
	err    error // why it does not run; it is tried again
}

// Run keeps all folders equal until ctx ends, those that come later included. It is
// [fault.Conflict] if it runs already.
func (l *Library) Run(ctx context.Context) error {
	l.mu.Lock()
	if l.runs {
		l.mu.Unlock()
		return fault.New(fault.Conflict, "the folders are kept equal already")
	}
	l.runs = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.runs = false
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		changed := l.Changed()
		l.adjust(ctx, &wg)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Running tells whether Run runs.
func (l *Library) Running() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs
}

// adjust starts and stops folders as the records say.
func (l *Library) adjust(ctx context.Context, wg *sync.WaitGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for dir, run := range maps.All(l.running) {
		if r, ok := l.records[dir]; !ok || !reflect.DeepEqual(r, run.record) {
			run.cancel() // when it has ended there is another change
		}
	}
	for dir, r := range l.records {
		if l.running[dir] != nil {
			continue
		}
		one, cancel := context.WithCancel(ctx)
		run := &runner{record: r, cancel: cancel, done: make(chan struct{})}
		l.running[dir] = run
		wg.Go(func() {
			defer close(run.done)
			defer cancel()
			l.keep(one, run)
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.running, dir)
			l.changedLocked()
		})
	}
}

// keep keeps a folder equal until ctx ends.
func (l *Library) keep(ctx context.Context, run *runner) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := l.try(ctx, run)
		if ctx.Err() != nil {
			return
		}
		run.mu.Lock()
		run.err = err
		run.mu.Unlock()
		l.notify()
		l.opts.Log.Warn("a folder is not kept equal", "err", err)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (l *Library) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changedLocked()
}

func (l *Library) try(ctx context.Context, run *runner) error {
	r := run.record
	tree, release, err := l.opts.Tree(r.Space)
	if err != nil {
		return err
	}
	defer release()
	o := r.options()
	o.Log = l.opts.Log
	o.OnEvent = func(e foldersync.Event) {
		if e.Kind == foldersync.EventState || e.Kind == foldersync.EventProblem || e.Kind == foldersync.EventSolved {
			l.notify()
		}
	}
	f, err := foldersync.Open(tree, r.Dir, l.state(r), &o)
	if err != nil {
		return fmt.Errorf("keep %s equal: %w", r.Dir, err)
	}
	run.mu.Lock()
	run.folder, run.err = f, nil
	run.mu.Unlock()
	l.notify()
	err = f.Run(ctx)
	run.mu.Lock()
	run.folder = nil
	run.mu.Unlock()
	return errors.Join(err, f.Close())
}

// Status is what a folder is doing.
type Status struct {
	Record
	// Running is false while nothing keeps the folder equal; Err may say why.
	Running bool
	Err     error
	foldersync.Status
}

// Status returns the states of all folders, sorted by path.
func (l *Library) Status() []Status {
	var list []Status
	for _, r := range l.Records() {
		s := Status{Record: r}
		l.mu.Lock()
		run := l.running[r.Dir]
		l.mu.Unlock()
		if run != nil {
			run.mu.Lock()
			s.Err = run.err
			if run.folder != nil && reflect.DeepEqual(r, run.record) { // else it is about to start anew
				s.Running, s.Status = true, run.folder.Status()
			}
			run.mu.Unlock()
		}
		list = append(list, s)
	}
	return list
}

// Adopt answers a folder that asks because it is not the one it was: what is there now
// is taken for it.
func (l *Library) Adopt(ctx context.Context, dir string) error {
	f, err := l.folder(dir)
	if err != nil {
		return err
	}
	return f.Adopt(ctx)
}

// Confirm answers a folder that asks because so much is gone from it: that was meant.
func (l *Library) Confirm(dir string) error {
	f, err := l.folder(dir)
	if err != nil {
		return err
	}
	f.Confirm()
	return nil
}

// folder returns one that runs.
func (l *Library) folder(dir string) (*foldersync.Folder, error) {
	dir = resolve(dir)
	l.mu.Lock()
	run := l.running[dir]
	l.mu.Unlock()
	if run != nil {
		run.mu.Lock()
		defer run.mu.Unlock()
		if run.folder != nil {
			return run.folder, nil
		}
	}
	return nil, fault.New(fault.NotFound, "%s is not being kept equal now", dir).Hint("run cloudpal up, or cloudpal sync in another window")
}
