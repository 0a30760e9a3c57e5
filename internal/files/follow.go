package files

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/fswatch"
)

// Times of following. Changes are imported when it has been quiet for a moment,
// but not much later than the first of them. Whatever the system does not tell
// about is found by looking at everything again.
const (
	quietTime  = 200 * time.Millisecond
	longestLag = 2 * time.Second
	rescanTime = time.Minute
	// blindRescanTime counts when the system cannot watch the whole folder.
	blindRescanTime = 10 * time.Second
	// maxPrefixes is how many changed paths are imported on their own.
	maxPrefixes = 200
)

// Follower imports the changes of a share as they happen.
type Follower struct {
	share   *Share
	watcher *fswatch.Watcher // nil if the system cannot watch at all
	watched map[string]bool  // the folders, by path on disk
	rescan  time.Duration
}

// Watch begins to watch the path of the share. Called before the first import,
// no change is missed. The follower must be closed.
func (s *Share) Watch(ctx context.Context) (*Follower, error) {
	f := &Follower{share: s, rescan: rescanTime, watched: make(map[string]bool)}
	w, err := fswatch.New()
	if err != nil {
		f.rescan = blindRescanTime
		return f, nil
	}
	f.watcher = w
	if err := f.add(ctx, ""); err != nil {
		return nil, errors.Join(explain(ctx, err), f.Close())
	}
	return f, nil
}

// Close stops watching.
func (f *Follower) Close() error {
	if f.watcher == nil {
		return nil
	}
	return f.watcher.Close()
}

// add watches a folder of the drive and all below it.
func (f *Follower) add(ctx context.Context, start string) error {
	if f.watcher == nil {
		return nil
	}
	filter, err := f.share.filter()
	if err != nil {
		return fault.Wrap(fault.Usage, err)
	}
	if !filter.folder {
		// Editors replace files: the file's own watch would be lost.
		return f.watcher.Add(filepath.Dir(filter.root))
	}
	for path, info := range filter.walkFrom(ctx, start) {
		if !info.IsDir() {
			continue
		}
		name := filepath.Join(filter.root, filepath.FromSlash(path))
		switch err := f.watcher.Add(name); {
		case err == nil:
			f.watched[name] = true
		case !errors.Is(err, fs.ErrNotExist):
			// Most likely the system's limit of watches.
			f.rescan = blindRescanTime
			return nil
		}
	}
	return nil
}

// forget ends the watches of a folder that went away and of all below it. They
// would follow the folder to its new place and go on to tell the old names.
func (f *Follower) forget(name string) {
	if !f.watched[name] {
		return
	}
	for w := range f.watched {
		if inside(w, name) {
			delete(f.watched, w)
			f.watcher.Remove(w)
		}
	}
}

// Run imports changes until ctx ends. It calls onUpdate after each import that
// made a new version, and onProblem when an import failed; the next one may
// succeed.
func (f *Follower) Run(ctx context.Context, onUpdate func(Imported), onProblem func(error)) error {
	var events <-chan fsnotify.Event
	var lost <-chan struct{}
	if f.watcher != nil {
		events, lost = f.watcher.Events(), f.watcher.Lost()
	}
	full := time.NewTimer(f.rescan)
	defer full.Stop()
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	var changed changedPaths
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return fault.New(fault.Other, "the system stopped watching %s", f.share.Record.Path)
			}
			if e.Has(fsnotify.Rename) || e.Has(fsnotify.Remove) {
				f.forget(e.Name)
			}
			if changed.add(f.share.Record.Path, e.Name) {
				quiet.Reset(changed.delay(time.Now()))
			}
			continue
		case <-lost:
			changed.all = true
			quiet.Reset(changed.delay(time.Now()))
			continue
		case <-quiet.C:
		case <-full.C:
			changed.all = true
		}
		began := time.Now()
		in, err := f.update(ctx, &changed)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			onProblem(err)
		case in.changedSomething || len(in.Problems) > 0:
			onUpdate(in)
		}
		changed = changedPaths{}
		// A folder that takes long to look at is looked at less often.
		full.Reset(max(f.rescan, 20*time.Since(began)))
	}
}

// update imports what changed.
func (f *Follower) update(ctx context.Context, changed *changedPaths) (Imported, error) {
	prefixes := changed.prefixes()
	for _, p := range prefixes {
		if p == "/"+IgnoreFile {
			prefixes = nil
		}
	}
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	// New folders are watched before they are read.
	for _, p := range prefixes {
		if err := f.add(ctx, p); err != nil {
			return Imported{}, explain(ctx, err)
		}
	}
	unlock, err := f.share.handle.lock(ctx)
	if err != nil {
		return Imported{}, err
	}
	defer unlock()
	return f.share.importLocked(ctx, &mirror.Options{Prefixes: prefixes}, nil)
}

// changedPaths collects the paths of events.
type changedPaths struct {
	all   bool
	first time.Time
	paths []string // in the form of drives
}

// add notes an event and tells whether it concerns the share.
func (c *changedPaths) add(root, name string) bool {
	if isFile(root) {
		if name != root {
			return false
		}
		c.all = true
		return true
	}
	rel, err := filepath.Rel(root, name)
	if err != nil || !filepath.IsLocal(rel) {
		return false
	}
	if rel == "." || len(c.paths) >= maxPrefixes {
		c.all = true
		return true
	}
	if path := "/" + filepath.ToSlash(rel); !slices.Contains(c.paths, path) {
		c.paths = append(c.paths, path)
	}
	return true
}

// delay returns how long to wait for quiet.
func (c *changedPaths) delay(now time.Time) time.Duration {
	if c.first.IsZero() {
		c.first = now
	}
	return max(0, min(quietTime, longestLag-now.Sub(c.first)))
}

// prefixes returns what to import; nothing means everything. Names with a
// backslash, which drives cannot have, are found by their folder.
func (c *changedPaths) prefixes() []string {
	if c.all {
		return nil
	}
	var list []string
	for _, p := range c.paths {
		if i := strings.IndexByte(p, '\\'); i >= 0 {
			p = p[:strings.LastIndexByte(p[:i], '/')]
			if p == "" {
				return nil
			}
		}
		list = append(list, p)
	}
	return list
}
