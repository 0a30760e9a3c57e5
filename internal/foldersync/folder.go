package foldersync

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Folder keeps a folder on disk and a tree equal. Open makes one.
type Folder struct {
	tree     Tree   // set once
	root     string // set once
	opts     Options
	selected string        // Options.Selection as text
	step     time.Duration // of the times of the file system

	largeSize uint64 // set once

	idx    *index
	names  *names
	rules  atomic.Pointer[rules]
	traits atomic.Pointer[traits]  // nil: not known yet
	watch  atomic.Pointer[watcher] // nil: nobody watches

	looked atomic.Pointer[look] // the last at everything; never nil

	progress progress
	dirty    dirtySet
	large    dirtySet    // of files that are put into the tree apart
	confirm  atomic.Bool // the next scan may find anything gone

	// passMu is held for a pass over the disk, or over the tree: each is done by one
	// goroutine at a time.
	pushMu, pullMu sync.Mutex
	held, local    map[string]time.Time // as of the last pull; guarded by pullMu
	leftOver       string               // where that was interrupted; guarded by pullMu
	ignoreTried    filetree.Version     // of the ignore file, that could not be written; guarded by pullMu

	// mu is held while a decision about a path is checked once more and carried out,
	// so that what index and disk say of it belongs together.
	mu      sync.Mutex
	recheck []string // noted as pending since the last pull began; guarded by mu
	resets  int      // of the index; guarded by mu
	pushed  pushed

	attached sync.Mutex // guards what follows
	device   uint64     // of the folder, as its inode; it is not held open, so that its disk can be unmounted
	inode    uint64
	id       string

	leftMu sync.Mutex // guards the rest
	swept  bool
	left   []string // temporary files found
}

// look is a scan.
type look struct {
	at   time.Time // when it ended
	took time.Duration
}

// Open prepares to keep the folder root equal to tree. What is remembered between runs
// is in the folder state, which belongs to this pair alone and lies elsewhere.
func Open(tree Tree, root, state string, opts *Options) (*Folder, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	f := &Folder{tree: tree, root: root, opts: o, names: newNames(), step: settleFine, largeSize: largeSize}
	f.progress = progress{onEvent: o.OnEvent, problems: make(map[problemKey]Problem), failed: make(map[part]failure), s: Status{State: StateIdle}}
	f.rules.Store(&rules{list: nil})
	f.looked.Store(&look{at: time.Now()})
	f.selected = f.opts.Selection.String()
	if err := f.openIndex(state); err != nil {
		return nil, err
	}
	f.id = string(f.idx.note(noteID))
	return f, nil
}

// Notes in the index.
const (
	noteID        = "id"        // of the folder, as in its marker
	notePosition  = "position"  // of the tree that was seen
	notePending   = "pending"   // paths that could not be written then
	noteSelection = "selection" // that the records are about
	noteRules     = "rules"     // that were in force then, hashed
)

// openIndex opens the index and reads it once. If it is damaged all that is lost is what
// was agreed: disk and tree are compared anew.
func (f *Folder) openIndex(state string) (err error) {
	if f.idx, err = openIndex(state, bootID(), f.syncAll); err == nil {
		if err = f.loadNames(); err != nil {
			f.idx.abandon()
		}
	}
	if !errors.Is(err, errDamaged) {
		return err
	}
	f.damaged(err)
	if err := removeIndex(state); err != nil {
		return err
	}
	f.idx, err = openIndex(state, bootID(), f.syncAll)
	return err
}

func (f *Folder) loadNames() error {
	f.names.clear()
	for r, err := range f.idx.records("") {
		if err != nil {
			return err
		}
		if r.local != "" {
			f.names.set(r.path, r.local)
		}
		f.idx.noteSize(&r)
	}
	return nil
}

func (f *Folder) damaged(err error) {
	f.opts.Log.Warn("index is damaged", "folder", f.root, "error", err)
	f.progress.problem(partFolder, "", fmt.Errorf("what was known of the folder is damaged; it is compared with the tree anew: %w", err))
}

// syncAll makes what was written to the folder durable.
func (f *Folder) syncAll() error {
	if syncEach {
		return nil
	}
	h, err := os.Open(f.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	return syncAll(h)
}

// Close ends the use of the folder. Nothing may run.
func (f *Folder) Close() error { return f.idx.close() }

// Status returns what the folder is doing.
func (f *Folder) Status() Status {
	s := f.progress.status()
	s.Files, s.Waiting = f.idx.len(), f.dirty.waiting(f.progress.unsent)+f.large.waiting(f.progress.unsent)
	return s
}

var (
	errRoot   = errors.New("the folder cannot be read")
	errNotDir = syscall.ENOTDIR
)

// ErrAsking says that the folder stopped because a person has to decide. Adopt and
// Confirm are the answers.
var ErrAsking = errors.New("foldersync: a person has to decide")

// ask returns an error that wraps ErrAsking.
func ask(format string, args ...any) *fault.Error {
	e := fault.New(fault.Unsafe, format, args...)
	e.Err = askError{e.Err}
	return e
}

type askError struct{ error }

func (askError) Is(target error) bool { return target == ErrAsking }

// attach makes sure that the folder is there and is the one that the index is about.
func (f *Folder) attach() error {
	f.attached.Lock()
	defer f.attached.Unlock()
	info, err := os.Stat(f.root)
	if errors.Is(err, fs.ErrNotExist) && f.id == "" {
		if err := os.MkdirAll(f.root, 0o755); err != nil {
			return err
		}
		info, err = os.Stat(f.root)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ask("%s is not there", f.root).Hint("if it is on a disk of its own, mount that: all goes on by itself")
	case err != nil:
		return err
	case !info.IsDir():
		return ask("%s is no folder any more", f.root)
	}
	if err := f.checkMarker(); err != nil {
		return err
	}
	s, device := statOf(info)
	known := f.traits.Load() != nil
	if known && device == f.device && s.ino == f.inode {
		return nil
	}
	dir, err := os.OpenRoot(f.root)
	if err != nil {
		return err
	}
	t := probe(dir)
	f.traits.Store(&t)
	f.device, f.inode = device, s.ino
	if known {
		f.watch.Load().startOver()
		f.dirty.add("")
	}
	return dir.Close()
}

// checkMarker compares the marker in the folder with the index, and makes it in a
// folder that is new.
func (f *Folder) checkMarker() error {
	name := filepath.Join(f.root, markerName)
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found := strings.TrimSpace(string(b))
	switch {
	case f.id != "" && found == f.id:
		return nil
	case f.id == "" && len(found) == 32:
		f.id = found
		return f.idx.apply(update{notes: map[string][]byte{noteID: []byte(f.id)}})
	case f.id != "" && f.idx.len() > 0:
		what := "is not the folder that was kept in sync here: its marker %s is missing"
		if found != "" {
			what = "is another folder than the one that was kept in sync here: its marker %s is of another"
		}
		return ask("%s "+what, f.root, markerName).
			Hint("if its disk is not mounted, mount it: all goes on by itself").
			Hint("if it is the right one: cloudpal sync confirm %s --adopt: nothing is deleted, what differs is kept on both sides", fault.Word(f.root))
	}
	if f.id == "" {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		f.id = hex.EncodeToString(id[:])
		if err := f.idx.apply(update{notes: map[string][]byte{noteID: []byte(f.id)}}); err != nil {
			return err
		}
	}
	return os.WriteFile(name, []byte(f.id+"\n"), 0o644)
}

// Adopt answers a folder that asks because it is not the one it was: whatever is there
// now is taken for it, and compared with the tree anew. Nothing is deleted by this.
func (f *Folder) Adopt(ctx context.Context) error {
	f.pushMu.Lock()
	defer f.pushMu.Unlock()
	f.pullMu.Lock()
	defer f.pullMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attached.Lock()
	defer f.attached.Unlock()
	if err := f.resetLocked(); err != nil {
		return err
	}
	f.id = ""
	f.dirty.add("")
	return f.checkMarker()
}

// reset forgets all that was agreed.
func (f *Folder) reset() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resetLocked()
}

// resetLocked is reset; f.mu is held.
func (f *Folder) resetLocked() error {
	f.resets++
	f.names.clear()
	return f.idx.reset()
}

// Confirm answers a folder that asks because so much is gone from it: the next scan
// takes it for deleted.
func (f *Folder) Confirm() {
	f.confirm.Store(true)
	f.dirty.add("")
}

// home returns the device that the folder is on.
func (f *Folder) home() (device uint64) {
	f.attached.Lock()
	defer f.attached.Unlock()
	return f.device
}

// openHome opens the folder, if it is still the one that was attached.
func (f *Folder) openHome() (*os.Root, uint64, error) {
	dir, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %v", errRoot, err) // it is not that something in it is gone
	}
	info, err := dir.Stat(".")
	if err != nil {
		return nil, 0, errors.Join(err, dir.Close())
	}
	s, device := statOf(info)
	f.attached.Lock()
	defer f.attached.Unlock()
	if f.traits.Load() == nil || device != f.device || s.ino != f.inode {
		return nil, 0, errors.Join(errRoot, dir.Close())
	}
	return dir, device, nil
}

// outside tells whether a path on disk is excluded.
func (f *Folder) outside(local string) bool {
	for _, e := range f.opts.Exclude {
		if rel, err := filepath.Rel(f.root, e); err == nil && filepath.IsLocal(rel) && below(local, filepath.ToSlash(rel)) && rel != "." {
			return true
		}
	}
	return false
}
