package foldersync

import "iter"

// records yields the records at prefix and below, in order, as they were at the first
// step.
func (x *index) records(prefix string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		c := x.cursor(prefix)
		defer c.close()
		for {
			r, ok, err := c.next()
			if err != nil {
				yield(r, err)
				return
			}
			if !ok || !yield(r, nil) {
				return
			}
		}
	}
}

func (x *index) cursor(prefix string) *cursor {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cursorLocked(prefix)
}

func (x *index) cursorLocked(prefix string) *cursor {
	c := &cursor{prefix: prefix, recent: x.recent.below(prefix)}
	if x.table != nil {
		x.table.refs.Add(1)
		c.table = x.table
		c.block = max(0, x.table.find(prefix))
	}
	return c
}

// cursor goes through records in order.
type cursor struct {
	prefix string
	table  *table
	block  int // the next to read
	loaded []record
	recent []change
}

func (c *cursor) close() {
	c.table.release()
	c.table = nil
}

// next returns the next record, false at the end.
func (c *cursor) next() (record, bool, error) {
	for {
		old, err := c.peekTable()
		if err != nil {
			return record{}, false, damaged(err)
		}
		if len(c.recent) == 0 {
			if old == nil {
				return record{}, false, nil
			}
			c.loaded = c.loaded[1:]
			return *old, true, nil
		}
		first := c.recent[0]
		order := 1
		if old != nil {
			order = compare(old.path, first.path)
		}
		if order < 0 {
			c.loaded = c.loaded[1:]
			return *old, true, nil
		}
		if order == 0 && old != nil {
			c.loaded = c.loaded[1:]
		}
		c.recent = c.recent[1:]
		if first.record != nil {
			return *first.record, true, nil
		}
	}
}

// peekTable returns the next record of the table, nil at the end.
func (c *cursor) peekTable() (*record, error) {
	for c.table != nil {
		for len(c.loaded) > 0 {
			r := &c.loaded[0]
			if below(r.path, c.prefix) {
				return r, nil
			}
			if compare(r.path, c.prefix) > 0 {
				return nil, nil // behind all that is below
			}
			c.loaded = c.loaded[1:]
		}
		if c.block >= len(c.table.blocks) {
			return nil, nil
		}
		var err error
		if c.loaded, err = c.table.block(c.block); err != nil {
			return nil, err
		}
		c.block++
	}
	return nil, nil
}
