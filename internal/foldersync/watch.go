package foldersync

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/fswatch"
)

// watcher is told by the system what changes in the folder. A scan adds each folder
// before it reads it, so that nothing falls between.
type watcher struct {
	f *Folder
	w *fswatch.Watcher // nil if the system cannot watch

	mu      sync.Mutex
	watched map[string]bool // folders, by name on disk
	blind   error           // why not all can be watched
	cookies map[string]chan struct{}
}

// cookieTime is how long to wait for what the system has to tell.
const cookieTime = 2 * time.Second

// catchUp waits until all that happened is in the dirty set. The system tells what
// happens in order, so a file is made and waited for. It returns false if that is not
// possible.
func (x *watcher) catchUp(ctx context.Context) bool {
	if x == nil || x.w == nil || x.isBlind() {
		return false
	}
	name := filepath.Join(x.f.root, temporaryName())
	told := make(chan struct{})
	x.mu.Lock()
	x.cookies[name] = told
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.cookies, name)
	}()
	h, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	if err := errors.Join(h.Close(), os.Remove(name)); err != nil {
		return false
	}
	late := time.NewTimer(cookieTime)
	defer late.Stop()
	select {
	case <-told:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// cookie tells who waits for a file that it was told.
func (x *watcher) cookie(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if told, ok := x.cookies[name]; ok {
		close(told)
		delete(x.cookies, name)
	}
}

// problemWatch is the key of the problem that not all is watched.
const problemWatch = "watch"

func (f *Folder) startWatch() *watcher {
	x := &watcher{f: f, watched: make(map[string]bool), cookies: make(map[string]chan struct{})}
	w, err := fswatch.New()
	if err != nil {
		x.fail(err)
	} else {
		x.w = w
	}
	f.watch.Store(x)
	f.progress.update(func(s *Status) { s.Watching = x.w != nil })
	return x
}

func (x *watcher) stop() error {
	x.f.watch.Store(nil)
	x.f.progress.update(func(s *Status) { s.Watching = false })
	if x.w == nil {
		return nil
	}
	return x.w.Close()
}

// add watches a folder, but not what is below.
func (x *watcher) add(name string) {
	if x == nil || x.w == nil {
		return
	}
	x.mu.Lock()
	known, blind := x.watched[name], x.blind != nil
	x.mu.Unlock()
	if known || blind {
		return
	}
	err := x.w.Add(name)
	switch {
	case err == nil:
		x.mu.Lock()
		x.watched[name] = true
		x.mu.Unlock()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, fsnotify.ErrClosed):
	default:
		x.fail(err)
	}
}

// fail notes that not all can be watched: then all is looked at often.
func (x *watcher) fail(err error) {
	x.mu.Lock()
	first := x.blind == nil
	x.blind = err
	x.mu.Unlock()
	if !first {
		return
	}
	e := fault.New(fault.Other, "not all folders can be watched: changes there are found by looking at everything every %v: %w", blindRescan, err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		e = fault.New(fault.Other, "the system watches no more folders: changes are found by looking at everything every %v", blindRescan).
			Hint("raise the limits: sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024")
	}
	x.f.progress.problem(partFolder, problemWatch, e)
	x.f.progress.update(func(s *Status) { s.Watching = false })
}

func (x *watcher) isBlind() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.blind != nil
}

// forget ends the watches of a folder that went away and of all below it. They would
// follow the folder to its new place and go on to tell the old names.
func (x *watcher) forget(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.watched[name] {
		return
	}
	for w := range x.watched {
		if w == name || below(filepath.ToSlash(w), filepath.ToSlash(name)) {
			delete(x.watched, w)
			x.w.Remove(w)
		}
	}
}

// run turns events into dirty paths until ctx ends.
func (x *watcher) run(ctx context.Context) {
	if x.w == nil {
		return
	}
	check := time.NewTicker(blindRescan)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			x.checkRoot()
		case e, ok := <-x.w.Events():
			if !ok {
				x.ended(ctx)
				return
			}
			x.event(e)
		case <-x.w.Lost():
			x.startOver()
			x.f.dirty.after("", quietTime)
		}
	}
}

// startOver ends all watches: which folders they are of is not known any more. The next look
// at everything watches anew.
func (x *watcher) startOver() {
	if x != nil {
		x.forget(x.f.root)
	}
}

// checkRoot looks whether the root is still watched.
func (x *watcher) checkRoot() {
	x.mu.Lock()
	known := x.watched[x.f.root]
	x.mu.Unlock()
	if known && !x.w.Watches(x.f.root) {
		x.startOver()
		x.f.dirty.after("", quietTime)
	}
}

func (x *watcher) ended(ctx context.Context) {
	if ctx.Err() == nil {
		x.fail(errors.New("the system stopped to tell"))
		x.f.dirty.after("", quietTime)
	}
}

func (x *watcher) event(e fsnotify.Event) {
	// A folder that was watched before it is told to have come may be one that moved there.
	// Then its watch was that of the old name, and has ended with it: it is watched anew
	// when it is looked at now.
	if e.Has(fsnotify.Rename) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Create) {
		x.forget(e.Name)
	}
	rel, ok := strings.CutPrefix(e.Name, x.f.root)
	if !ok {
		return
	}
	local := strings.TrimPrefix(filepath.ToSlash(rel), "/")
	if local == "" {
		if e.Has(fsnotify.Rename) || e.Has(fsnotify.Remove) {
			x.f.dirty.after("", quietTime)
		}
		return
	}
	if _, name := split(local); isOurs(name) {
		if name == markerName {
			x.f.dirty.after("", quietTime)
		}
		x.cookie(e.Name)
		return
	}
	path := x.f.names.path(local)
	if r := x.f.rules.Load(); r.ignored(path, false) && r.ignored(path, true) { // whatever it is
		return
	}
	x.f.dirty.after(path, quietTime)
}
