package foldersync

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// push puts what changed on disk at paths of the tree, and below them, into the tree.
func (f *Folder) push(ctx context.Context, paths []string) error {
	f.pushMu.Lock()
	defer f.pushMu.Unlock()
	if err := f.attach(); err != nil {
		return err
	}
	paths = topmost(paths)
	newRules := ignoreStat(f.root) != f.rules.Load().file
	if since := time.Since(time.Unix(0, ignoreStat(f.root).mtime)); newRules && since >= 0 && since < quietTime && !slices.Contains(paths, "") {
		// What has just come may be meant to stay out. The rules are read when they are
		// quiet.
		for _, path := range append(paths, IgnoreFile) {
			f.dirty.after(path, quietTime)
		}
		return nil
	}
	if newRules || slices.Contains(paths, "") || slices.Contains(paths, IgnoreFile) {
		paths = []string{""}
		if err := f.reloadRules(); err != nil {
			return err
		}
	}
	edits, err := f.scanAll(ctx, paths)
	if err != nil {
		return err
	}
	if len(edits) == 0 {
		return nil
	}
	p := &pusher{f: f, ctx: ctx}
	if edits, err = p.moves(edits); err != nil {
		return err
	}
	f.progress.state(StateSending)
	if err := p.deletes(edits); err != nil {
		return err
	}
	return p.committing(func() error { return p.puts(edits) })
}

// scanAll returns the edits at some paths. It is sure of what is gone: the folder was
// there before and after.
func (f *Folder) scanAll(ctx context.Context, paths []string) ([]edit, error) {
	full := len(paths) == 1 && paths[0] == ""
	if full {
		f.progress.state(StateScanning)
	}
	began := time.Now()
	var edits []edit
	for _, path := range paths {
		if f.unchanged(path) {
			continue
		}
		s, err := f.scan(ctx, path)
		if err != nil {
			return nil, err
		}
		if full {
			now := time.Now()
			f.looked.Store(&look{at: now, took: now.Sub(began)})
			if err := f.guard(s); err != nil {
				return nil, err
			}
			f.progress.update(func(s *Status) { s.LastScan = time.Now() })
		}
		edits = append(edits, s.edits...)
		if err := f.scanned(s); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(edits, func(e edit) bool { return e.kind == 0 }) {
		if err := f.attach(); err != nil {
			return nil, err
		}
	}
	if full {
		f.confirm.Store(false)
		f.sweep(ctx)
	}
	return edits, nil
}

// unchanged tells whether a file is certainly what the index says, as those are that
// were just written here. It saves a scan, not a decision.
func (f *Folder) unchanged(path string) bool {
	r, known, err := f.idx.get(path)
	if err != nil || !known || r.kind == kindDir || path == "" {
		return false
	}
	local := f.names.local(path)
	if f.outside(local) || f.rules.Load().ignored(path, false) {
		return false
	}
	info, err := f.lstat(local)
	if err != nil {
		return false
	}
	s, _ := statOf(info)
	if !r.same(kindOf(info.Mode()), s) {
		return false
	}
	f.progress.solvedBelow(path, nil)
	return true
}

// scanned notes what a scan found beside edits.
func (f *Folder) scanned(s *scanner) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := update{delete: s.ignored}
	f.lookAgain(&u, s.emptied...) // they go
	return f.notePushed(u)
}

// guardFiles is how many files must be gone for a folder that has become empty to be
// suspicious.
const guardFiles = 20

// guard stops at a scan that finds suspiciously much gone.
func (f *Folder) guard(s *scanner) error {
	gone := 0
	for i := range s.edits {
		if s.edits[i].kind == 0 && s.edits[i].old.kind != kindDir {
			gone++
		}
	}
	created := 0
	for i := range s.edits {
		if !s.edits[i].known && s.edits[i].kind != kindDir {
			created++
		}
	}
	limit := f.opts.MaxDeletes
	if f.confirm.Load() || !(s.files == 0 && gone >= guardFiles || limit > 0 && gone-created > limit) {
		return nil
	}
	return ask("%d of %d files are gone from %s", gone, gone+s.files-created, f.root).
		Hint("if they are deleted on purpose: cloudpal sync confirm %s", fault.Word(f.root)).
		Hint("if not, put them back: all goes on by itself")
}

// reloadRules reads the ignore file.
func (f *Folder) reloadRules() error {
	r, err := loadRules(f.root, f.opts.Ignore)
	if err != nil {
		// What was ignored stays so; with no rules yet, nothing must be sent.
		f.progress.problem(partFolder, IgnoreFile, err)
		old := f.rules.Load()
		if old.list == nil {
			return fault.Wrap(fault.Usage, err)
		}
		f.rules.Store(&rules{old.list, ignoreStat(f.root)})
		return nil
	}
	f.progress.solved(partFolder, IgnoreFile)
	f.rules.Store(r)
	return nil
}

// topmost drops paths that lie below others.
func topmost(paths []string) []string {
	paths = slices.Clone(paths)
	slices.SortFunc(paths, compare)
	out := paths[:0]
	for _, p := range paths {
		if len(out) == 0 || !below(p, out[len(out)-1]) {
			out = append(out, p)
		}
	}
	return out
}

// pusher puts edits of one pass into the tree.
type pusher struct {
	f   *Folder
	ctx context.Context

	batch   []pending
	commits chan<- []pending // nil: batches are committed by who flushes
	bytes   int              // of paths and references in batch
	data    int              // bytes of small contents in batch
}

// pending is a change that waits to be committed.
type pending struct {
	edit   edit
	change filetree.Change
	// after is the record when it is committed, but for the version; nil: none.
	after *record
	small []byte // a content that is to be stored
}

// deletes commits what is gone, the deepest first.
func (p *pusher) deletes(edits []edit) error {
	for _, e := range slices.Backward(edits) {
		if e.kind == e.old.kind || !e.known {
			continue
		}
		if e.old.version == (filetree.Version{}) {
			if err := p.f.forgetRecord(&e.old); err != nil {
				return err
			}
			continue
		}
		if e.kind == 0 {
			_, err := p.f.lstat(p.f.names.local(e.path))
			if err == nil {
				p.f.dirty.add(e.path) // it is back
				continue
			}
			if !isGone(err) {
				p.f.unreadable(e, err)
				continue
			}
		}
		if _, ok, err := p.f.tree.Lookup(p.ctx, e.path); err != nil {
			return err
		} else if !ok {
			if err := p.f.forgetRecord(&e.old); err != nil {
				return err
			}
			continue
		}
		if err := p.add(pending{edit: e, change: filetree.Change{Action: filetree.Delete, Path: e.path, Base: e.old.version}}); err != nil {
			return err
		}
	}
	return p.flush()
}

// add takes a change into the batch.
func (p *pusher) add(c pending) error {
	size := len(c.change.Path) + len(c.change.From) + len(c.change.Item.Content) + len(c.change.Item.Target) + 128
	if len(c.small) > 0 {
		size += 256 // its reference
	}
	if len(p.batch) >= MaxChanges || p.bytes+size > MaxBytes || p.data+len(c.small) > maxBatchData && len(p.batch) > 0 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.batch = append(p.batch, c)
	p.bytes += size
	p.data += len(c.small)
	return nil
}

// maxBatchData is how many bytes of small contents are stored together.
const maxBatchData = 16 << 20

// flush commits the batch.
func (p *pusher) flush() error {
	if len(p.batch) == 0 {
		return nil
	}
	batch := p.batch
	p.batch, p.bytes, p.data = nil, 0, 0
	if err := p.storeSmall(batch); err != nil {
		return err
	}
	if p.commits == nil {
		return p.commit(batch)
	}
	select {
	case p.commits <- batch:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// committing calls fn while what it flushes is committed on another goroutine, so that
// contents are stored meanwhile.
func (p *pusher) committing(fn func() error) error {
	ctx, commits := p.ctx, make(chan []pending)
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		var err error
		for batch := range commits {
			if err == nil {
				if err = p.commit(batch); err != nil {
					cancel(err)
				}
			}
		}
		done <- err
	}()
	p.ctx, p.commits = inner, commits
	err := fn()
	close(commits)
	failed := <-done
	p.ctx, p.commits = ctx, nil
	if failed != nil {
		return failed
	}
	return err
}

// commit commits a batch.
func (p *pusher) commit(batch []pending) error {
	p.f.pushed.tree.RLock()
	defer p.f.pushed.tree.RUnlock()
	batch, err := p.f.current(batch)
	if err != nil || len(batch) == 0 {
		return err
	}
	changes := make([]filetree.Change, len(batch))
	for i := range batch {
		changes[i] = batch[i].change
	}
	versions, err := p.f.tree.Commit(p.ctx, changes)
	if err != nil {
		return err
	}
	return p.f.committed(batch, versions)
}

// current drops changes whose base is not what the index has any more: what the scan took
// for an edit may have been a change of the tree that was just being written.
func (f *Folder) current(batch []pending) ([]pending, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := batch[:0]
	for _, c := range batch {
		r, known, err := f.idx.get(c.edit.path)
		if err != nil {
			return nil, err
		}
		if known != c.edit.known || r.version != c.edit.old.version {
			f.dirty.add(c.edit.path)
			continue
		}
		out = append(out, c)
	}
	return out, nil
}

func (p *pusher) storeSmall(batch []pending) error {
	var list []Small
	for i := range batch {
		if batch[i].small != nil {
			list = append(list, Small{Data: batch[i].small, Hash: batch[i].after.hash})
		}
	}
	if len(list) == 0 {
		return nil
	}
	refs, err := p.f.tree.StoreBatch(p.ctx, list)
	if err != nil {
		return err
	}
	for i := range batch {
		if batch[i].small != nil {
			batch[i].change.Item.Content, refs = refs[0], refs[1:]
			batch[i].small = nil
		}
	}
	return nil
}

// committed notes what is in the tree now, unless the path has become something else
// meanwhile.
func (f *Folder) committed(batch []pending, versions []filetree.Version) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var u update
	for i := range batch {
		c := &batch[i]
		r, known, err := f.idx.get(c.edit.path)
		if err != nil {
			return err
		}
		if known != c.edit.known || known && r.version != c.edit.old.version {
			f.dirty.add(c.edit.path)
			continue
		}
		if c.after == nil {
			u.delete = append(u.delete, c.edit.path)
			continue
		}
		c.after.version, c.after.own = versions[i], true
		u.put = append(u.put, *c.after)
	}
	var dirs []string
	for i := range batch {
		if c := &batch[i]; c.change.Action == filetree.Delete && c.edit.old.kind == kindDir {
			dirs = append(dirs, c.change.Path) // it stays if something came into it
		}
	}
	f.lookAgain(&u, dirs...)
	if err := f.notePushed(u); err != nil {
		return err
	}
	var bytes uint64
	for i := range batch {
		c := &batch[i]
		bytes += c.change.Item.Size
		f.progress.solved(partPush, c.edit.path)
		f.progress.event(Event{Kind: EventCommitted, Path: c.change.Path, Size: c.change.Item.Size})
	}
	f.progress.update(func(s *Status) { s.Committed += uint64(len(batch)); s.SentBytes += bytes })
	return nil
}

// localOf returns the name on disk if it is not that of the path.
func localOf(path, local string) string {
	_, name := split(path)
	_, onDisk := split(local)
	if name == onDisk {
		return ""
	}
	return strings.Clone(onDisk)
}
