package folders

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/foldersync"
)

// Record is what is remembered of a folder.
type Record struct {
	// Dir is the absolute path.
	Dir string `json:"dir"`
	// Space is the key of the space.
	Space hypercrypto.Key `json:"-"`
	// Only are the paths of the space that are kept here; none are all.
	Only []string `json:"only,omitempty"`
	// MaxSize is the size of the largest files that are kept here; 0 is any.
	MaxSize uint64 `json:"maxSize,omitempty"`
	// Ignore holds patterns in the syntax of .gitignore.
	Ignore []string `json:"ignore,omitempty"`
	// MinFree is how many bytes of the disk stay free.
	MinFree uint64 `json:"minFree,omitempty"`

	ID       string `json:"id"` // of the folder with the state
	SpaceKey string `json:"space"`
}

func (r *Record) options() foldersync.Options {
	return foldersync.Options{Selection: foldersync.Selection{Folders: r.Only, MaxSize: r.MaxSize}, Ignore: r.Ignore, MinFree: r.MinFree}
}

// Options configures [Open].
type Options struct {
	// Home is the data folder of the node.
	Home string
	// Tree returns the tree of a space, which is in use until release is called.
	Tree func(space hypercrypto.Key) (tree foldersync.Tree, release func(), err error)
	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

// Library is all folders of a node. It is safe for concurrent use.
type Library struct {
	opts Options
	core *hypercore.Core
	tree *hyperbee.Tree // paths to records; nobody else knows the key of its log

	setting sync.Mutex // held by Set, which waits for disks; taken before mu

	mu      sync.Mutex // guards what follows
	records map[string]Record
	running map[string]*runner
	runs    bool
	change  chan struct{} // closed and replaced with every change
}

// registryCore is the name of the log of the list of folders, stateFolder where in the
// data folder their states are.
const (
	registryCore = "cloudpal/folders"
	stateFolder  = "folders"
)

// Open opens the list of folders in a store. Nothing runs before [Library.Run].
func Open(ctx context.Context, store *corestore.Store, opts Options) (*Library, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l := &Library{opts: opts, records: make(map[string]Record), running: make(map[string]*runner), change: make(chan struct{})}
	var err error
	if l.core, err = store.Get(ctx, corestore.GetOptions{Name: registryCore, Passive: true}); err != nil {
		return nil, fmt.Errorf("open list of folders: %w", err)
	}
	l.tree = hyperbee.New(l.core, nil)
	for e, err := range l.tree.Entries(ctx, hyperbee.Range{}) {
		var r Record
		if err == nil {
			r, err = decodeRecord(e.Value)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read list of folders: %w", err), l.Close())
		}
		l.records[r.Dir] = r
	}
	return l, nil
}

func decodeRecord(b []byte) (r Record, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, err
	}
	r.Space, err = hypercrypto.ParseKey(r.SpaceKey)
	return r, err
}

// Close closes the list. Run has to have returned.
func (l *Library) Close() error { return errors.Join(l.tree.Close(), l.core.Close()) }

func (l *Library) changedLocked() {
	close(l.change)
	l.change = make(chan struct{})
}

// Changed returns a channel that is closed with the next change of the list, or of the
// state of a folder.
func (l *Library) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.change
}

// Records returns all folders, sorted by path.
func (l *Library) Records() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.records), func(a, b Record) int { return strings.Compare(a.Dir, b.Dir) })
}

// Find returns the folder that a path lies in, and the path inside of it. A link in a
// folder is meant itself, not what it leads to.
func (l *Library) Find(path string) (r Record, inside string, ok bool) {
	itself := filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
	if r, inside, ok = l.find(itself); ok && inside != "" {
		return r, inside, ok
	}
	return l.find(resolve(path))
}

func (l *Library) find(path string) (r Record, inside string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for dir, r := range l.records {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			if rel == "." {
				rel = ""
			}
			return r, filepath.ToSlash(rel), true
		}
	}
	return Record{}, "", false
}

// resolve follows links as far as the path exists.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(resolve(dir), filepath.Base(path))
	}
	return path
}

// Set keeps a folder equal with a space from now on, or changes what of the space it
// has. The folder is made if it does not exist.
func (l *Library) Set(ctx context.Context, r Record) (Record, error) {
	if !filepath.IsAbs(r.Dir) {
		return r, fault.New(fault.Usage, "%q is not an absolute path", r.Dir)
	}
	for i, path := range r.Only {
		r.Only[i] = strings.Trim(path, "/")
	}
	o := r.options()
	if err := o.Check(); err != nil {
		return r, err
	}
	l.setting.Lock()
	defer l.setting.Unlock()
	r.Dir, r.SpaceKey = resolve(r.Dir), r.Space.Hex()
	if err := l.checkPlace(r); err != nil {
		return r, err
	}
	if err := makeFolder(r.Dir); err != nil {
		return r, err
	}
	if !l.knows(r.Dir) {
		if err := tryWriting(r.Dir); err != nil {
			return r, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, known := l.records[r.Dir]
	switch {
	case known && old.Space != r.Space:
		return r, fault.New(fault.Conflict, "%s is kept equal with another space", r.Dir).Hint("see with which: cloudpal sync ls").
			Hint("stop that first: cloudpal sync stop %s", fault.Word(r.Dir))
	case known:
		r.ID = old.ID
	default:
		r.ID = rand.Text()
	}
	b, err := json.Marshal(r)
	if err == nil {
		err = l.tree.Put(ctx, []byte(r.Dir), b, nil)
	}
	if err != nil {
		return r, fmt.Errorf("remember folder %s: %w", r.Dir, err)
	}
	l.records[r.Dir] = r
	l.changedLocked()
	return r, nil
}

func (l *Library) knows(dir string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.records[dir]
	return known
}

// makeFolder makes a folder unless it exists, and refuses what cannot be kept equal.
func makeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fault.New(fault.Usage, "%s is not a folder", dir).Hint("name a folder: all that is in it is kept equal")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	return nil
}

// tryWriting refuses folders in which nothing may be made, not even the marker.
func tryWriting(dir string) error {
	f, err := os.CreateTemp(dir, ".cloudpal-*")
	if err == nil {
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if fault.KindOf(err) != fault.Permission {
		return nil // it may pass
	}
	return fault.WithHint(fmt.Errorf("keep %s equal: %w", dir, err), "choose a folder that you may write to")
}

// checkPlace refuses folders that lie in each other.
func (l *Library) checkPlace(r Record) error {
	home := resolve(l.opts.Home)
	if within(home, r.Dir) || within(r.Dir, home) {
		return fault.New(fault.Usage, "%s and the data folder %s lie in each other", r.Dir, home).Hint("choose a folder beside it")
	}
	for _, other := range l.Records() {
		if other.Dir != r.Dir && (within(other.Dir, r.Dir) || within(r.Dir, other.Dir)) {
			return fault.New(fault.Conflict, "%s and %s lie in each other, and that one is kept equal with a space already", r.Dir, other.Dir).
				Hint("choose a folder beside it, or stop that one first: cloudpal sync stop %s", fault.Word(other.Dir))
		}
	}
	return nil
}

// within tells whether path is dir or lies in it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Remove stops keeping a folder equal. What is in it stays.
func (l *Library) Remove(ctx context.Context, dir string) error {
	dir = resolve(dir)
	l.mu.Lock()
	r, ok := l.records[dir]
	if !ok {
		defer l.mu.Unlock()
		f := fault.New(fault.NotFound, "%s is not kept equal with a space", dir)
		for known := range l.records {
			f = f.Hint("%s is", known)
		}
		return f
	}
	if err := l.tree.Del(ctx, []byte(dir), nil); err != nil {
		l.mu.Unlock()
		return fmt.Errorf("forget folder %s: %w", dir, err)
	}
	delete(l.records, dir)
	run := l.running[dir]
	l.changedLocked()
	l.mu.Unlock()
	if run != nil {
		run.cancel()
		<-run.done
	}
	return os.RemoveAll(l.state(r))
}

func (l *Library) state(r Record) string { return filepath.Join(l.opts.Home, stateFolder, r.ID) }
