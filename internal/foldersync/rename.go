package foldersync

import (
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// renames carries out what the tree moved by renaming on disk: a version, or a content,
// that is gone from one path and is at another now. What cannot be renamed is left to
// be written.
func (p *puller) renames(c *chunk, w *writer) error {
	gone := make(map[filetree.Version]string)
	contents := make(map[hypercrypto.Hash]string)
	for _, path := range c.remove {
		r, known, err := p.f.idx.get(path)
		if err != nil {
			return err
		}
		if known && r.kind != kindDir && r.version != (filetree.Version{}) {
			gone[r.version] = path
			if r.kind == kindFile && r.stat.size > 0 {
				contents[r.hash] = path
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	from := newWriter(p)
	defer from.close()
	var err error
	c.files = slices.DeleteFunc(c.files, func(e filetree.Entry) bool {
		old, ok := gone[e.Version]
		if !ok && e.Kind == kindFile {
			old, ok = contents[e.Hash]
			delete(contents, e.Hash)
		}
		if !ok || err != nil {
			return false
		}
		var done bool
		done, err = w.rename(from, old, e)
		return done
	})
	return err
}

// rename moves a file on disk. It returns false if that is not possible.
func (w *writer) rename(from *writer, old string, e filetree.Entry) (bool, error) {
	f := w.f
	src, err := from.enter(old, false)
	if err != nil {
		return false, nil
	}
	dst, err := w.enter(e.Path, true)
	if err != nil {
		return false, nil
	}
	oldName, err := f.localName(src.root, src.path, old)
	if err != nil {
		return false, nil
	}
	newName, err := f.localName(dst.root, dst.path, e.Path)
	if err != nil {
		return false, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known, err := f.check(src, old, oldName)
	if err != nil || !known || !sameContent(e, r) {
		return false, nil
	}
	if _, known, err := f.check(dst, e.Path, newName); err != nil || known {
		return false, nil
	}
	if src.rename(oldName, &r, dst, newName) != nil {
		return false, nil
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
		return true, fmt.Errorf("%w: %w", errIndex, err)
	}
	f.progress.update(func(s *Status) { s.Moved++ })
	f.progress.solved(partPull, e.Path)
	f.progress.event(Event{Kind: EventWritten, Path: e.Path, Text: "moved from " + old})
	return true, nil
}
