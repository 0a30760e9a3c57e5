package fswatch

import (
	"slices"

	"github.com/fsnotify/fsnotify"
)

// unread is how many events are kept for a reader that is busy; an event has 40 bytes
// and its name.
const unread = 8192

// Watcher watches folders, each without those below it.
type Watcher struct {
	w      *fsnotify.Watcher
	events chan fsnotify.Event
	lost   chan struct{}
}

// New returns a watcher of nothing, or the error of a system that watches no more. It
// must be closed.
func New() (*Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	x := &Watcher{w: w, events: make(chan fsnotify.Event, unread), lost: make(chan struct{}, 1)}
	go x.read()
	return x, nil
}

// read takes all that the system tells until the watcher is closed.
func (x *Watcher) read() {
	defer close(x.events)
	events, failures := x.w.Events, x.w.Errors
	for events != nil || failures != nil {
		select {
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			select {
			case x.events <- e:
			default:
				x.lose()
			}
		case _, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			x.lose()
		}
	}
}

func (x *Watcher) lose() {
	select {
	case x.lost <- struct{}{}:
	default:
	}
}

// Events returns what happens in the watched folders, in order. It is closed when the
// watcher is.
func (x *Watcher) Events() <-chan fsnotify.Event { return x.events }

// Lost tells that events may be missing since it was last read.
func (x *Watcher) Lost() <-chan struct{} { return x.lost }

// Add watches a folder; one that is watched already stays so. Errors are those of the
// system, such as fs.ErrNotExist or, when it watches no more, syscall.ENOSPC;
// fsnotify.ErrClosed after Close.
func (x *Watcher) Add(name string) error { return x.w.Add(name) }

// Remove ends a watch, if it has not ended with its folder.
func (x *Watcher) Remove(name string) { _ = x.w.Remove(name) }

// Watches tells whether a folder is watched. A watch ends, and nothing tells of it, when the
// disk is unmounted.
func (x *Watcher) Watches(name string) bool { return slices.Contains(x.w.WatchList(), name) }

// Close ends all watches.
func (x *Watcher) Close() error { return x.w.Close() }
