package foldersync

import (
	"slices"
	"sort"
)

// recent is what changed since the table was written: records by path, nil for what was
// deleted. Looking at a folder costs no more than what changed in it.
type recent struct {
	records map[string]*record
	// runs are the paths in order. Each run is longer than the one behind it, so there are
	// few, and a path is moved few times.
	runs [][]string
	tail []string // paths that are in no run yet
}

// maxTail is how many paths wait to be sorted.
const maxTail = 256

func newRecent() recent { return recent{records: make(map[string]*record)} }

func (c *recent) len() int { return len(c.records) }

func (c *recent) get(path string) (r *record, known bool) {
	r, known = c.records[path]
	return r, known
}

func (c *recent) set(path string, r *record) {
	if _, known := c.records[path]; !known {
		if c.tail = append(c.tail, path); len(c.tail) >= maxTail {
			c.sort()
		}
	}
	c.records[path] = r
}

// sort makes a run of the tail, and one of neighbours of which the second is not the
// shorter.
func (c *recent) sort() {
	if len(c.tail) == 0 {
		return
	}
	run := slices.Clone(c.tail)
	c.tail = c.tail[:0]
	slices.SortFunc(run, compare)
	n := len(c.runs)
	for ; n > 0 && len(c.runs[n-1]) <= len(run); n-- {
		run = mergeRuns(c.runs[n-1], run)
	}
	c.runs = append(c.runs[:n], run)
}

func mergeRuns(a, b []string) []string {
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compare(a[0], b[0]) < 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// below returns what changed at prefix and below, in order.
func (c *recent) below(prefix string) []change {
	c.sort()
	var list []change
	parts := 0
	for _, run := range c.runs {
		from := sort.Search(len(run), func(i int) bool { return compare(run[i], prefix) >= 0 })
		to := from
		for ; to < len(run) && below(run[to], prefix); to++ {
			list = append(list, change{run[to], c.records[run[to]]})
		}
		if to > from {
			parts++
		}
	}
	if parts > 1 {
		slices.SortFunc(list, func(a, b change) int { return compare(a.path, b.path) })
	}
	return list
}

// change is a record that is not as in the table, nil if it was deleted.
type change struct {
	path   string
	record *record
}
