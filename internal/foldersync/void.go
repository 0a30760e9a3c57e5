package foldersync

import (
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/internal/filetree"
)

// spare takes out of a chunk what would replace or remove a file that was committed here
// and does not count: others had decided that this device may not write. The file is in
// no history and in no trash then. It becomes a local change again.
func (p *puller) spare(c *chunk) error {
	at, err := p.own(c)
	if err != nil || len(at) == 0 {
		return err
	}
	void, err := p.f.tree.Void(p.ctx, at)
	if err != nil || len(void) == 0 {
		return err
	}
	spared := make(map[string]bool, len(void))
	for version := range void {
		path := at[version]
		ok, err := p.f.disown(path, version)
		if err != nil {
			return err
		}
		spared[path] = ok
	}
	c.remove = slices.DeleteFunc(c.remove, func(path string) bool { return spared[path] })
	isSpared := func(e filetree.Entry) bool { return spared[e.Path] }
	c.dirs, c.files = slices.DeleteFunc(c.dirs, isSpared), slices.DeleteFunc(c.files, isSpared)
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	for path, ok := range spared {
		if ok {
			p.pending[path] = true
		}
	}
	return nil
}

// own returns the versions of what was committed here, among all that a chunk is about.
func (p *puller) own(c *chunk) (map[filetree.Version]string, error) {
	var at map[filetree.Version]string
	note := func(path string) error {
		r, known, err := p.f.idx.get(path)
		if err != nil || !known || !r.own || r.kind == kindDir {
			return err
		}
		if at == nil {
			at = make(map[filetree.Version]string)
		}
		at[r.version] = path
		return nil
	}
	for _, path := range c.remove {
		if err := note(path); err != nil {
			return nil, err
		}
	}
	for _, list := range [][]filetree.Entry{c.dirs, c.files} {
		for i := range list {
			if err := note(list[i].Path); err != nil {
				return nil, err
			}
		}
	}
	return at, nil
}

// disown forgets that a version was agreed, unless the path has another one now.
func (f *Folder) disown(path string, version filetree.Version) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, known, err := f.idx.get(path)
	if err != nil || !known || r.version != version {
		return false, err
	}
	if err := f.idx.apply(update{delete: []string{path}}); err != nil {
		return false, fmt.Errorf("%w: %w", errIndex, err)
	}
	f.dirty.add(path)
	return true, nil
}
