package foldersync

import (
	"slices"

	"github.com/tradle/cloudpal/internal/filetree"
)

// rotations finds files that were renamed to names that others had, which were renamed too:
// two that were swapped, or a number of them that each have the name of the next now. A name
// that something else has now was not left by a rename: an editor that keeps what was there
// as a backup replaces it.
func rotations(edits []edit) []move {
	sources := make(map[uint64]*edit)
	for i := range edits {
		e := &edits[i]
		if e.known && e.old.kind != kindDir && e.old.stat.ino != 0 && e.old.version != (filetree.Version{}) && (e.kind == 0 || e.stat.ino != e.old.stat.ino) {
			sources[e.old.stat.ino] = e
		}
	}
	from := make(map[string]*edit) // by where it is now
	left := make(map[string]string)
	for i := range edits {
		e := &edits[i]
		if e.kind == 0 || e.kind == kindDir || e.known && e.old.kind == kindDir {
			continue
		}
		g := sources[e.stat.ino]
		if g == nil || g == e || !renamed(g.old, e.found) {
			continue
		}
		if _, twice := left[g.path]; twice {
			return nil // it went on while it was looked at
		}
		from[e.path], left[g.path] = g, e.path
	}
	for again := true; again; {
		again = false
		for i := range edits {
			e := &edits[i]
			g := from[e.path]
			if g == nil {
				continue
			}
			_, leaves := left[e.path]
			if g.kind != 0 && from[g.path] == nil || e.known && !leaves {
				delete(from, e.path)
				delete(left, g.path)
				again = true
			}
		}
	}
	var moved []move
	done := make(map[string]bool)
	for i := range edits {
		if from[edits[i].path] == nil || done[edits[i].path] {
			continue
		}
		moved = append(moved, rotation(&edits[i], edits, from, left, done)...)
	}
	return moved
}

// rotation returns, in an order in which each name is free when it is taken, the moves that
// depend on each other, of which one is to the path of an edit.
func rotation(e *edit, edits []edit, from map[string]*edit, left map[string]string, done map[string]bool) []move {
	// The last in the row: to a name that nobody had.
	last, round := e.path, false
	for next, ok := left[last]; ok; next, ok = left[last] {
		if last = next; last == e.path {
			round = true
			break
		}
	}
	var moved []move
	add := func(from string, to string, of *edit, now found) {
		moved = append(moved, move{from: from, to: to, kind: now.kind, old: of.old, found: now, row: e.path})
	}
	at := func(path string) *edit {
		i, _ := slices.BinarySearchFunc(edits, path, func(e edit, p string) int { return compare(e.path, p) })
		return &edits[i]
	}
	between := ""
	if round {
		// What has the last name leaves it for a moment.
		if between = nameBetween(last); between == "" {
			return nil // they count as new contents
		}
		add(last, between, at(last), at(left[last]).found)
	}
	for to := last; from[to] != nil && !done[to]; {
		done[to] = true
		g := from[to]
		source := g.path
		if round && source == last {
			source = between
		}
		add(source, to, g, at(to).found)
		to = g.path
	}
	return moved
}

// nameBetween returns a name beside a path that nothing has, "" if none is possible.
func nameBetween(path string) string {
	dir, _ := split(path)
	id := randomHex()
	for _, between := range []string{path + "." + id, join(dir, id)} {
		if filetree.CheckPath(between) == nil {
			return between
		}
	}
	return ""
}
