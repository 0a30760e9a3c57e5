package foldersync

import (
	"slices"

	"github.com/tradle/cloudpal/internal/filetree"
)

// maxRounds is how often moves are looked for within what was moved.
const maxRounds = 8

// moves commits what was renamed on disk as moves, without reading contents, and
// returns the edits that remain. A file or folder was renamed if its inode is gone
// from one path and new at another. What changed inside of a folder that was moved is
// found by looking at it again.
func (p *pusher) moves(edits []edit) ([]edit, error) {
	for range maxRounds {
		moved := p.findMoves(edits)
		if len(moved) == 0 {
			var err error
			if edits, err = p.early(edits); err != nil {
				return nil, err
			}
			moved = p.findMoves(edits)
		}
		if len(moved) == 0 {
			break
		}
		if way := inTheWay(edits, moved); len(way) > 0 {
			if err := p.makeWay(way); err != nil {
				return nil, err
			}
			continue // a whole folder may have moved there
		}
		if err := p.flush(); err != nil {
			return nil, err
		}
		if err := p.commitMoves(moved); err != nil {
			return nil, err
		}
		ends := make(map[string]bool, 2*len(moved))
		for _, m := range moved {
			ends[m.from], ends[m.to] = true, true
		}
		rest := slices.DeleteFunc(edits, func(e edit) bool {
			at := e.path
			for at != "" && !ends[at] {
				at, _ = split(at)
			}
			return at != ""
		})
		for _, m := range moved {
			s, err := p.f.scan(p.ctx, m.to)
			if err != nil {
				return nil, err
			}
			rest = append(rest, s.edits...)
			if m.kind == kindDir {
				// Something else may be at the old path now.
				if s, err = p.f.scan(p.ctx, m.from); err != nil {
					return nil, err
				}
				rest = append(rest, s.edits...)
			}
		}
		slices.SortFunc(rest, func(a, b edit) int { return compare(a.path, b.path) })
		edits = slices.CompactFunc(rest, func(a, b edit) bool { return a.path == b.path })
	}
	return slices.DeleteFunc(edits, func(e edit) bool { return e.early }), nil
}

// maxEarly is how many paths that are not due are looked at if nothing is gone.
const maxEarly = 1000

// early adds to edits the others that were found by now, which are not due. What is gone, or
// new, may be one half of a rename of which the other is only known by the system yet:
// something was renamed again, or just before or behind where a scan was.
func (p *pusher) early(edits []edit) ([]edit, error) {
	half := func(e edit) bool { return !e.known || e.kind == 0 && e.old.version != (filetree.Version{}) }
	if !slices.ContainsFunc(edits, half) {
		return edits, nil
	}
	f := p.f
	turn := uint64(0)
	for range maxRounds {
		if !f.watch.Load().catchUp(p.ctx) {
			break
		}
		paths, last := f.dirty.since(turn)
		turn = last
		if len(paths) > maxEarly && !slices.ContainsFunc(edits, func(e edit) bool { return e.kind == 0 }) {
			break // much is being made, not moved
		}
		quiet := true
		for _, path := range topmost(paths) {
			if f.unchanged(path) {
				continue
			}
			s, err := f.scan(p.ctx, path)
			if err != nil {
				return nil, err
			}
			for i := range s.edits {
				s.edits[i].early = true
			}
			quiet = false // what was there may be somewhere else by now
			edits = replaceBelow(edits, path, s.edits)
		}
		if quiet {
			break
		}
	}
	return edits, nil
}

// replaceBelow puts what was found at a path and below in the place of what was found there
// before. What was due stays so.
func replaceBelow(edits []edit, path string, found []edit) []edit {
	due := make(map[string]bool)
	edits = slices.DeleteFunc(edits, func(e edit) bool {
		if below(e.path, path) && !e.early {
			due[e.path] = true
		}
		return below(e.path, path)
	})
	for _, e := range found {
		e.early = !due[e.path]
		edits = append(edits, e)
	}
	slices.SortFunc(edits, func(a, b edit) int { return compare(a.path, b.path) })
	return edits
}

// inTheWay returns the edits of files and links that are folders now, into which something
// moved.
func inTheWay(edits []edit, moved []move) (way []*edit) {
	folders := make(map[string]*edit)
	for i := range edits {
		if e := &edits[i]; e.known && e.kind == kindDir && e.old.kind != kindDir {
			folders[e.path] = e
		}
	}
	if len(folders) == 0 {
		return nil
	}
	for _, m := range moved {
		for dir, _ := split(m.to); dir != ""; dir, _ = split(dir) {
			if e := folders[dir]; e != nil {
				way = append(way, e)
				delete(folders, dir)
			}
		}
	}
	return way
}

// makeWay commits that files are gone, before what moves to where they were would meet them
// in the tree.
func (p *pusher) makeWay(way []*edit) error {
	for _, e := range way {
		if err := p.deletes([]edit{*e}); err != nil {
			return err
		}
		if _, known, err := p.f.idx.get(e.path); err != nil {
			return err
		} else if !known {
			e.known, e.old = false, record{}
		}
	}
	return nil
}

type move struct {
	from, to string
	kind     filetree.Kind
	old      record
	found    found
	row      string // the same for moves that depend on each other
}

// findMoves pairs what is gone with what is new, folders before what is in them.
func (p *pusher) findMoves(edits []edit) []move {
	gone := make(map[uint64]*edit)
	for i := range edits {
		e := &edits[i]
		if e.kind == 0 && e.known && e.old.stat.ino != 0 && e.old.version != (filetree.Version{}) {
			gone[e.old.stat.ino] = e
		}
	}
	var moved, folders []move
	for _, dirs := range []bool{true, false} {
		for i := range edits {
			e := &edits[i]
			if e.known || (e.kind == kindDir) != dirs {
				continue
			}
			g := gone[e.stat.ino]
			if g == nil || !renamed(g.old, e.found) {
				continue
			}
			overlaps := func(m move) bool {
				return below(g.path, m.from) || below(m.from, g.path) || below(e.path, m.to) || below(m.to, e.path) ||
					below(g.path, m.to) || below(e.path, m.from) || below(m.to, g.path) || below(m.from, e.path)
			}
			if slices.ContainsFunc(folders, overlaps) {
				continue
			}
			delete(gone, e.stat.ino)
			m := move{from: g.path, to: e.path, kind: e.kind, old: g.old, found: e.found}
			if moved = append(moved, m); dirs {
				folders = append(folders, m)
			}
		}
	}
	if len(moved) == 0 {
		moved = rotations(edits)
	}
	return append(moved, p.sameContents(edits, moved)...)
}

// sameContents pairs files that are gone with new ones of the same content, which were
// renamed by copying.
func (p *pusher) sameContents(edits []edit, moved []move) (more []move) {
	if len(moved) > 0 {
		return nil // in the next round
	}
	sizes := make(map[uint64][]*edit)
	for i := range edits {
		if e := &edits[i]; e.kind == 0 && e.old.kind == kindFile && e.old.stat.size > 0 && e.old.version != (filetree.Version{}) {
			sizes[e.old.stat.size] = append(sizes[e.old.stat.size], e)
		}
	}
	for i := range edits {
		e := &edits[i]
		if e.known || e.kind != kindFile || len(sizes[e.stat.size]) == 0 {
			continue
		}
		hash, err := p.f.hashFile(p.ctx, e.local)
		if err != nil {
			continue // it is found out when it is read
		}
		for j, g := range sizes[e.stat.size] {
			if g.old.hash == hash {
				sizes[e.stat.size] = slices.Delete(sizes[e.stat.size], j, j+1)
				more = append(more, move{from: g.path, to: e.path, kind: e.kind, old: g.old, found: e.found})
				break
			}
		}
	}
	return more
}

// renamed tells whether what was at one path is what is at another now. Renaming changes
// nothing but the time of the last change of status.
func renamed(old record, now found) bool {
	if old.kind != now.kind || old.doubt && now.kind != kindDir {
		return false
	}
	s := now.stat
	return now.kind == kindDir || old.stat.size == s.size && old.stat.mtime == s.mtime && old.stat.ino == s.ino
}

// commitMoves commits moves and carries the index along.
func (p *pusher) commitMoves(moved []move) error {
	for part := range slices.Chunk(moved, MaxChanges/2) {
		if err := p.commitSomeMoves(part); err != nil {
			return err
		}
	}
	return nil
}

func (p *pusher) commitSomeMoves(moved []move) error {
	p.f.pushed.tree.RLock()
	defer p.f.pushed.tree.RUnlock()
	moved, err := p.f.currentMoves(moved)
	if err != nil || len(moved) == 0 {
		return err
	}
	changes := make([]filetree.Change, len(moved))
	for i, m := range moved {
		changes[i] = filetree.Change{Action: filetree.Move, From: m.from, Path: m.to, Base: m.old.version}
	}
	if _, err := p.f.tree.Commit(p.ctx, changes); err != nil {
		return err
	}
	for _, m := range moved {
		if err := p.carry(m); err != nil {
			return err
		}
		p.f.progress.event(Event{Kind: EventCommitted, Path: m.to, Text: "moved from " + m.from})
	}
	p.f.progress.update(func(s *Status) { s.Committed += uint64(len(moved)); s.Moved += uint64(len(moved)) })
	return nil
}

// currentMoves drops moves of what the index has another version of by now, those to where
// it has something, and those of what moved on since: what the scan took for a rename here
// was one of the tree that was just being carried out.
func (f *Folder) currentMoves(moved []move) ([]move, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stands := make(map[string]bool) // what will be at paths
	stale := make(map[string]bool)  // rows
	var out []move
	for _, m := range moved {
		r, known, err := f.idx.get(m.from)
		if err != nil {
			return nil, err
		}
		_, taken, err := f.idx.get(m.to)
		if err != nil {
			return nil, err
		}
		known = known && r.version == m.old.version
		if will, ok := stands[m.from]; ok {
			known = will
		}
		if will, ok := stands[m.to]; ok {
			taken = will
		}
		info, err := f.lstat(m.found.local)
		there := err == nil
		if there {
			s, _ := statOf(info)
			there = s.ino == m.found.stat.ino
		}
		switch {
		case known && !taken && there:
			stands[m.from], stands[m.to] = false, true
			out = append(out, m)
			continue
		case m.row != "":
			stale[m.row] = true
		}
		f.dirty.add(m.from)
		f.dirty.add(m.to)
	}
	return slices.DeleteFunc(out, func(m move) bool {
		if stale[m.row] {
			f.dirty.add(m.from)
			f.dirty.add(m.to)
		}
		return stale[m.row]
	}), nil
}

// carry moves the records of what was moved. Versions go along. The tree may have done
// something else, because others moved it too: pull looks.
func (p *pusher) carry(m move) error {
	f := p.f
	moved, err := p.hasMoved(m)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var u update
	var again []string
	for r, err := range f.idx.records(m.from) {
		if err != nil {
			return err
		}
		u.delete = append(u.delete, r.path)
		if r.local != "" {
			f.names.set(r.path, "")
		}
		n := r
		n.path = m.to + r.path[len(m.from):]
		if r.path == m.from {
			n.local = localOf(m.to, m.found.local)
			if n.stat.ino == m.found.stat.ino && n.stat.mode == m.found.stat.mode {
				n.stat.ctime = m.found.stat.ctime
			}
		}
		if n.local != "" {
			f.names.set(n.path, n.local)
		}
		u.put = append(u.put, n)
		if !moved {
			again = append(again, r.path)
		}
	}
	// Also later: when a move of somebody else turns out to come first, this one finds less
	// to move, and the tree does not tell of what it would have moved.
	f.lookAgain(&u, append(again, m.to, m.to+allBelow)...)
	return f.notePushed(u)
}

// hasMoved tells whether the tree did no more and no less than what was asked for.
func (p *pusher) hasMoved(m move) (bool, error) {
	if _, still, err := p.f.tree.Lookup(p.ctx, m.from); still || err != nil {
		return false, err
	}
	for r, err := range p.f.idx.records(m.from) {
		if err != nil {
			return false, err
		}
		e, ok, err := p.f.tree.Lookup(p.ctx, m.to+r.path[len(m.from):])
		if err != nil || !ok || e.Version != r.version {
			return false, err
		}
	}
	return true, nil
}

// sameContent tells whether an entry has what a record is about.
func sameContent(e filetree.Entry, r record) bool {
	if e.Kind != r.kind {
		return false
	}
	switch e.Kind {
	case kindFile:
		return e.Hash == r.hash && e.Size == r.stat.size
	case kindSymlink:
		return targetHash(e.Target) == r.hash
	}
	return true
}
