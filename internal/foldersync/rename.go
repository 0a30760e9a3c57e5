package foldersync

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// gone is what is on disk and not at its path in the tree any more. It may be at another
// path there.
type gone struct {
	versions map[filetree.Version]string
	contents map[hypercrypto.Hash]string
}

// maxGone is how many paths that are gone are remembered while changes are carried out,
// about 250 bytes for each.
const maxGone = 1 << 17

// note adds the file at a path.
func (g *gone) note(idx *index, path string) error {
	r, known, err := idx.get(path)
	if err != nil || !known || r.kind == kindDir || r.version == (filetree.Version{}) {
		return err
	}
	if g.versions == nil {
		g.versions, g.contents = make(map[filetree.Version]string), make(map[hypercrypto.Hash]string)
	}
	g.versions[r.version] = path
	if r.kind == kindFile && r.stat.size > 0 {
		g.contents[r.hash] = path
	}
	return nil
}

// take returns where the file of an entry may be on disk, and whether it is the same one,
// not one that is equal.
func (g *gone) take(e filetree.Entry) (path string, same, ok bool) {
	if path, same = g.versions[e.Version]; same {
		return path, true, true
	}
	if e.Kind == kindFile {
		path, ok = g.contents[e.Hash]
		delete(g.contents, e.Hash)
	}
	return path, false, ok
}

// findGone looks at all differences for what is gone.
func (p *puller) findGone(list iter.Seq2[Difference, error]) (*gone, error) {
	g := new(gone)
	if p.f.idx.len() == 0 {
		return g, nil
	}
	for d, err := range list {
		if err != nil {
			return nil, err
		}
		if d.Exists {
			continue
		}
		var c chunk
		if err := p.plan(&c, d); err != nil {
			return nil, err
		}
		for _, path := range c.remove {
			if err := g.note(p.f.idx, path); err != nil {
				return nil, err
			}
		}
		if len(g.versions) == maxGone {
			break
		}
	}
	return g, nil
}

// renames carries out what the tree moved by renaming on disk: a version, or a content,
// that is gone from one path and is at another now. What cannot be renamed is left to
// be written.
func (p *puller) renames(c *chunk, w *writer) error {
	g := p.gone
	if g == nil {
		g = new(gone)
		for _, path := range c.remove {
			if err := g.note(p.f.idx, path); err != nil {
				return err
			}
		}
	}
	if len(g.versions) == 0 {
		return nil
	}
	from := newWriter(p)
	defer from.close()
	var err error
	c.files = slices.DeleteFunc(c.files, func(e filetree.Entry) bool {
		if err != nil {
			return false
		}
		old, same, ok := g.take(e)
		if !ok {
			return false
		}
		var how renaming
		how, err = w.rename(from, old, e)
		if how == later && same && p.hold(e.Path) {
			how, err = renameDone, p.outcome(e.Path, errHeld)
			p.f.dirty.after(old, quietTime)
		}
		return how == renameDone
	})
	return err
}

// errHeld says that what the tree moved is under its old name here, with a change that is to
// be committed first: that is a change of what was moved, and both move on together.
var errHeld = fmt.Errorf("%w, before it was moved", errLocal)

// holdTime is how long a file is not written because it is still to be moved.
const holdTime = 10 * time.Second

// hold tells whether to wait until a file can be moved to a path.
func (p *puller) hold(path string) bool {
	since, known := p.f.held[path]
	if !known {
		since = time.Now()
	}
	p.held[path] = since
	return time.Since(since) < holdTime
}

// renaming is what became of a rename.
type renaming int

const (
	never renaming = iota // it has to be written
	later                 // there is a change to be committed first
	renameDone
)

// rename moves a file on disk.
func (w *writer) rename(from *writer, old string, e filetree.Entry) (renaming, error) {
	f := w.f
	src, err := from.enter(old, false)
	if err != nil {
		return later, nil
	}
	dst, err := w.enter(e.Path, true)
	if err != nil {
		return never, nil
	}
	oldName, err := f.localName(src.root, src.path, old)
	if err != nil {
		return never, nil
	}
	newName, err := f.localName(dst.root, dst.path, e.Path)
	if err != nil {
		return never, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known, err := f.check(dst, e.Path, newName); err != nil || known {
		return never, nil
	}
	r, known, err := f.check(src, old, oldName)
	switch {
	case errors.Is(err, errLocal), errors.Is(err, errOutdated):
		return later, nil
	case err != nil, !known, !sameContent(e, r):
		return never, nil
	case f.outdatedEntry(e) != nil:
		return later, nil
	}
	switch err := src.rename(oldName, &r, dst, newName); {
	case errors.Is(err, errLocal):
		return later, nil
	case err != nil:
		return never, nil
	}
	n := r
	n.path, n.local = e.Path, localOf(e.Path, newName)
	if n, err = f.touchLocked(dst, newName, n, e); err != nil {
		n.doubt = true
		f.dirty.add(e.Path)
	}
	f.names.set(old, "")
	if n.local != "" {
		f.names.set(n.path, n.local)
	}
	if err := f.idx.apply(update{delete: []string{old}, put: []record{n}}); err != nil {
		return renameDone, fmt.Errorf("%w: %w", errIndex, err)
	}
	f.progress.update(func(s *Status) { s.Moved++ })
	f.progress.solved(partPull, e.Path)
	f.progress.event(Event{Kind: EventWritten, Path: e.Path, Text: "moved from " + old})
	return renameDone, nil
}
