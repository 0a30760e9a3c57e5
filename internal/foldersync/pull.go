package foldersync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/internal/filetree"
)

// pullChunk is how many differences are collected before they are carried out.
const pullChunk = 8192

// maxPending is how many paths that could not be written are remembered. If there are
// more, the whole tree is looked at next time.
const maxPending = 50_000

// pull puts what changed in the tree on disk.
func (f *Folder) pull(ctx context.Context) error {
	f.pullMu.Lock()
	defer f.pullMu.Unlock()
	if err := f.attach(); err != nil {
		return err
	}
	f.pulling(true)
	defer f.pulling(false)
	p := &puller{f: f, ctx: ctx, pending: make(map[string]bool), held: make(map[string]time.Time), local: make(map[string]time.Time), patience: patience{most: f.opts.Patience}}
	var noRules error
	if f.rules.Load().list == nil {
		noRules = f.reloadRules()
	}
	if err := p.ignoreFile(); err != nil {
		return err
	}
	if f.rules.Load().list == nil {
		return noRules // and the tree has no better ones
	}
	rules := f.rules.Load().id()
	to, err := f.tree.Position(ctx)
	if err != nil {
		return err
	}
	p.to = to
	from := f.idx.note(notePosition)
	p.reselect = string(f.idx.note(noteSelection)) != f.selected
	if p.reselect || !bytes.Equal(f.idx.note(noteRules), rules) {
		from = nil
	}
	f.mu.Lock()
	pending := splitPaths(f.idx.note(notePending))
	f.recheck = nil
	resets := f.resets
	f.mu.Unlock()
	if bytes.Equal(from, to) && len(pending) == 0 {
		return nil
	}
	again := func() error {
		paths := pending
		for path := range p.pending {
			paths = append(paths, path)
		}
		p.pending = make(map[string]bool)
		return p.all(f.lookups(ctx, paths))
	}
	switch {
	case from == nil:
		err = p.everything()
	case !bytes.Equal(from, to):
		if err = p.all(f.settled(f.tree.Diff(ctx, from))); errors.Is(err, ErrPosition) {
			err = p.everything()
		}
	}
	if err == nil {
		// What was in the way may be gone.
		err = again()
	}
	if err != nil {
		return err
	}
	f.held, f.local, f.leftOver = p.held, p.local, p.left
	return f.pulled(to, rules, p.pending, resets)
}

// pulled notes the position, and what is still to be done up to it.
func (f *Folder) pulled(to, rules []byte, pending map[string]bool, resets int) error {
	f.progress.update(func(s *Status) { s.Pending = len(pending) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resets != resets {
		return nil // what this was about is forgotten
	}
	notes := pendingNote(append(slices.Collect(maps.Keys(pending)), f.recheck...))
	if notes[notePending] != nil {
		notes[notePosition] = to
		notes[noteSelection], notes[noteRules] = []byte(f.selected), rules
	}
	return f.idx.apply(update{notes: notes})
}

// pendingNote returns what to note for paths that are pending: the position is given up
// if they are too many.
func pendingNote(paths []string) map[string][]byte {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if len(paths) > maxPending {
		return map[string][]byte{notePosition: nil, notePending: nil}
	}
	return map[string][]byte{notePending: []byte(strings.Join(paths, "\x00"))}
}

// lookAgain adds to an update that pull has to look at paths even if the tree does not
// tell; f.mu is held.
func (f *Folder) lookAgain(u *update, paths ...string) {
	if len(paths) == 0 {
		return
	}
	f.recheck = append(f.recheck, paths...)
	u.notes = pendingNote(append(splitPaths(f.idx.note(notePending)), paths...))
}

func (f *Folder) hasPending() bool { return len(f.idx.note(notePending)) > 0 }

func splitPaths(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// allBelow ends a path that stands for all that the index has below it.
const allBelow = "/"

// lookups yields what the tree has at some paths.
func (f *Folder) lookups(ctx context.Context, list []string) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		var paths []string
		for _, path := range list {
			dir, below := strings.CutSuffix(path, allBelow)
			if !below {
				paths = append(paths, path)
				continue
			}
			for r, err := range f.idx.records(dir) {
				if err != nil {
					yield(Difference{}, err)
					return
				}
				paths = append(paths, r.path)
			}
		}
		slices.Sort(paths)
		for _, path := range slices.Compact(paths) {
			e, ok, err := f.lookup(ctx, path)
			if !yield(Difference{Path: path, Entry: e, Exists: ok}, err) || err != nil {
				return
			}
		}
	}
}

// puller carries out differences.
type puller struct {
	f        *Folder
	ctx      context.Context
	pending  map[string]bool      // guarded by f.mu
	held     map[string]time.Time // since when are files that wait to be moved
	local    map[string]time.Time // since when are files changed here that push does not take; guarded by f.mu
	patience patience
	to       []byte       // the position when it began
	stop     atomic.Bool  // it is interrupted
	looked   atomic.Int64 // when the position was looked at then
	left     string       // the first path that is left over; guarded by f.mu
	// reselect says that the selection is another than last time.
	reselect bool
	// gone is what is gone in all chunks, if there are several.
	gone *gone
}

// ignoreFile writes the ignore file before anything else, so that it counts. One that cannot
// be had, or written, holds up the rest once.
func (p *puller) ignoreFile() error {
	f := p.f
	e, exists, err := f.lookup(p.ctx, IgnoreFile)
	if err != nil {
		return err
	}
	r, _, err := f.idx.get(IgnoreFile)
	if err != nil || !exists || e.Version == r.version || e.Version == f.ignoreTried {
		return err
	}
	var c chunk
	if err := p.plan(&c, Difference{Path: IgnoreFile, Entry: e, Exists: true}); err != nil {
		return err
	}
	if err := p.carryOut(&c); err != nil {
		return err
	}
	if r, _, err = f.idx.get(IgnoreFile); err != nil || e.Version != r.version {
		f.ignoreTried = e.Version // from now on it is one of those that are pending
		return err
	}
	f.dirty.add("")
	return f.reloadRules()
}

// everything compares the whole tree with the index.
func (p *puller) everything() error {
	seen := make(map[string]struct{}, p.f.idx.len())
	walk := func(yield func(Difference, error) bool) {
		for e, err := range p.f.tree.Walk(p.ctx) {
			if err == nil {
				seen[e.Path] = struct{}{}
			}
			if !yield(Difference{Path: e.Path, Entry: e, Exists: true}, err) || err != nil {
				return
			}
		}
		for r, err := range p.f.idx.records("") {
			if _, ok := seen[r.path]; ok {
				continue
			}
			if !yield(Difference{Path: r.path}, err) || err != nil {
				return
			}
		}
	}
	return p.all(p.f.settled(walk))
}

// all carries out differences, which may be asked for twice, in chunks. Where there are
// several, what is gone is removed at the end, since any of them may have it at another
// path.
func (p *puller) all(list iter.Seq2[Difference, error]) (err error) {
	var c, later chunk
	for d, err := range list {
		if err != nil {
			return err
		}
		if err := p.plan(&c, d); err != nil {
			return err
		}
		if c.len() < pullChunk {
			continue
		}
		if p.gone == nil {
			if p.gone, err = p.findGone(list); err != nil {
				return err
			}
		}
		later.postpone(&c)
		if err := p.carryOut(&c); err != nil {
			return err
		}
		if c = (chunk{}); later.len() < maxGone {
			continue
		}
		if err := p.carryOut(&later); err != nil {
			return err
		}
		later = chunk{}
	}
	if p.gone != nil {
		later.postpone(&c)
	}
	if err := p.carryOut(&c); err != nil {
		return err
	}
	p.gone = nil
	return p.carryOut(&later)
}

// chunk is what is to be done on disk.
type chunk struct {
	remove []string
	leave  map[string]bool // those of remove that stay in the tree
	dirs   []filetree.Entry
	files  []filetree.Entry // and symlinks
}

func (c *chunk) len() int { return len(c.remove) + len(c.dirs) + len(c.files) }

// postpone moves the removals of another chunk here, but for those that stay in the tree.
func (c *chunk) postpone(from *chunk) {
	from.remove = slices.DeleteFunc(from.remove, func(path string) bool {
		if !from.leave[path] {
			c.remove = append(c.remove, path)
		}
		return !from.leave[path]
	})
}

// plan decides what a difference means for the disk.
func (p *puller) plan(c *chunk, d Difference) error {
	if filetree.CheckPath(d.Path) != nil {
		p.f.progress.problem(partPull, d.Path, fmt.Errorf("the tree has a path that no folder can have: %.100q", d.Path))
		return nil
	}
	e := d.Entry
	p.f.mu.Lock()
	r, known, err := p.f.idx.get(d.Path)
	if agreed := known == d.Exists && r.version == e.Version; err == nil && !agreed && (p.f.outdated(d.Path) != nil || d.Exists && p.f.outdatedEntry(e) != nil) {
		p.pending[d.Path] = true
		p.f.mu.Unlock()
		return nil
	}
	p.f.mu.Unlock()
	if err != nil {
		return err
	}
	if p.f.rules.Load().ignored(d.Path, known && r.kind == kindDir || d.Exists && e.Kind == kindDir) || p.f.outside(p.f.names.local(d.Path)) {
		return nil
	}
	covered := d.Exists && p.f.opts.Selection.covers(d.Path, e.Kind == kindDir, e.Size)
	switch {
	case !covered && known && d.Exists && r.version == e.Version && !p.reselect:
		// It outgrew the selection here: it stays until somebody else changes it.
	case !covered && !known:
		p.f.progress.solved(partPull, d.Path)
	case !covered:
		c.remove = append(c.remove, d.Path)
		if d.Exists {
			if c.leave == nil {
				c.leave = make(map[string]bool)
			}
			c.leave[d.Path] = true
		}
	case known && r.version == e.Version:
		p.f.progress.solved(partPull, d.Path)
	case e.Kind == kindDir:
		c.dirs = append(c.dirs, e)
	case e.Kind == kindFile || e.Kind == kindSymlink:
		c.files = append(c.files, e)
	default:
		p.f.progress.problem(partPull, d.Path, errors.New("the tree has something here that this version does not know"))
	}
	return nil
}

// carryOut makes the disk what the chunk says.
func (p *puller) carryOut(c *chunk) error {
	if c.len() == 0 {
		return nil
	}
	if err := p.spare(c); err != nil {
		return err
	}
	p.f.progress.state(StateWriting)
	p.f.progress.update(func(s *Status) { s.Pending = c.len() })
	w := newWriter(p)
	defer w.close()
	if err := p.renames(c, w); err != nil {
		return err
	}
	slices.SortFunc(c.remove, func(a, b string) int { return compare(b, a) })
	for _, path := range c.remove {
		if err := p.outcome(path, w.remove(path, c.leave[path])); err != nil {
			return err
		}
	}
	slices.SortFunc(c.dirs, func(a, b filetree.Entry) int { return compare(a.Path, b.Path) })
	for _, e := range c.dirs {
		if err := p.outcome(e.Path, w.dir(e)); err != nil {
			return err
		}
	}
	slices.SortFunc(c.files, func(a, b filetree.Entry) int { return p.inTurn(a.Path, b.Path) })
	return p.files(c.files)
}

// outcome sorts errors: those of a path are noted and the path is tried again, others are
// returned.
func (p *puller) outcome(path string, err error) error {
	p.f.progress.update(func(s *Status) { s.Pending = max(0, s.Pending-1) })
	switch {
	case err == nil:
		p.f.progress.solved(partPull, path)
		return nil
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case errors.Is(err, errFull), errors.Is(err, errIndex):
		return err
	}
	p.f.mu.Lock()
	p.pending[path] = true
	p.f.mu.Unlock()
	switch {
	case errors.Is(err, errOutdated):
		return nil
	case errors.Is(err, errLocal):
		p.f.dirty.after(path, p.localWait(path))
		return nil
	}
	p.f.progress.problem(partPull, path, err)
	return nil
}

// localWait returns when push looks at a path that was changed here: after as long as it was
// so by now, since it may be what push does not take.
func (p *puller) localWait(path string) time.Duration {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	since, known := p.f.local[path]
	if !known {
		since = time.Now()
	}
	p.local[path] = since
	return min(max(time.Since(since), quietTime), pendingRetry)
}
