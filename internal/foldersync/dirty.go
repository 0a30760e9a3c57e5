package foldersync

import (
	"context"
	"sync"
	"time"
)

// dirtySet collects paths in the tree at which the disk may have changed, "" for
// everything.
type dirtySet struct {
	mu    sync.Mutex
	paths map[string]dirtyPath
	turns uint64
	wake  chan struct{}
}

type dirtyPath struct {
	first time.Time // when it became dirty
	due   time.Time // when it is looked at, unless it changes again
	turn  uint64    // when it was added last, counted
}

// maxDirty is how many paths are remembered by themselves.
const maxDirty = 20_000

// Times of the debounce: a path is looked at when it was quiet for a moment, but not
// much later than its first change.
const (
	quietTime = 50 * time.Millisecond
	longWait  = 10 * time.Second
	// together is how far apart are changes that are looked at together if one of them is
	// due: what is renamed changes two paths, one after the other.
	together = quietTime / 2
)

func (d *dirtySet) add(path string) { d.after(path, 0) }

// after adds a path that is looked at in some time.
func (d *dirtySet) after(path string, wait time.Duration) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paths == nil {
		d.paths = make(map[string]dirtyPath)
	}
	p, known := d.paths[path]
	if !known {
		if len(d.paths) >= maxDirty {
			clear(d.paths)
			path = ""
		}
		p.first = now
	}
	due := now.Add(wait)
	if known && wait > quietTime && p.due.Before(due) {
		due = p.due // something else asked for it to be sooner
	}
	p.due = due
	if limit := p.first.Add(longWait); p.due.After(limit) && wait <= quietTime {
		p.due = limit
	}
	d.turns++
	p.turn = d.turns
	d.paths[path] = p
	if d.wake != nil {
		signal(d.wake)
	}
}

// since returns the paths that were added after a turn, due or not, and the last turn.
func (d *dirtySet) since(turn uint64) (paths []string, last uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, p := range d.paths {
		if p.turn > turn {
			paths = append(paths, path)
		}
	}
	return paths, d.turns
}

// len returns how many paths there are.
func (d *dirtySet) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.paths)
}

// waiting returns how many paths there are, but for some.
func (d *dirtySet) waiting(without func(path string) bool) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path := range d.paths {
		if !without(path) {
			n++
		}
	}
	return n
}

// notify returns a channel that receives after something was added.
func (d *dirtySet) notify() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wake = make(chan struct{}, 1)
	return d.wake
}

// take returns the paths that are due, with those that nearly are, and when the next is.
func (d *dirtySet) take(now time.Time) (paths []string, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.paths {
		if next.IsZero() || p.due.Before(next) {
			next = p.due
		}
	}
	if next.After(now) || next.IsZero() {
		return nil, next
	}
	next = time.Time{}
	for path, p := range d.paths {
		switch {
		case !p.due.After(now.Add(together)):
			paths = append(paths, path)
			delete(d.paths, path)
		case next.IsZero() || p.due.Before(next):
			next = p.due
		}
	}
	return paths, next
}

// next waits for something to look at, or for full, when that is everything. It returns nil
// when ctx ends.
func (d *dirtySet) next(ctx context.Context, wake <-chan struct{}, full <-chan time.Time) []string {
	for {
		paths, next := d.take(time.Now())
		if len(paths) > 0 {
			return paths
		}
		var due <-chan time.Time
		if !next.IsZero() {
			// Not for every event: there may be many.
			due = time.After(max(time.Until(next), 5*time.Millisecond))
			wake := wake
			if time.Until(next) <= quietTime {
				wake = nil
			}
			select {
			case <-due:
			case <-wake:
			case <-full:
				return []string{""}
			case <-ctx.Done():
				return nil
			}
			continue
		}
		select {
		case <-wake:
		case <-full:
			return []string{""}
		case <-ctx.Done():
			return nil
		}
	}
}
