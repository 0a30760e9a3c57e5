package hyperbee

import (
	"bytes"
	"context"
	"fmt"
)

// cursor walks the entries between two bounds in one direction. It keeps the
// path to its place, at most maxDepth nodes.
//
// Against hostile trees it relies on three checks: nodes have keys (frame.load),
// entries are strictly ascending (inOrder), and, since a tree has fewer nodes
// than entries and fewer entries than the log has blocks, no more nodes are
// entered than that (descend).
type cursor struct {
	r       *reader
	path    []*frame
	bounds  bounds
	reverse bool
	last    []byte // key of the last entry
	nodes   uint64 // number of nodes entered below the root
	started bool   // last is set
	opened  bool
	inNext  bool // in the middle of next: the top frame has moved on already
}

func newCursor(r *reader, b bounds, reverse bool) *cursor {
	return &cursor{r: r, bounds: b, reverse: reverse}
}

func (c *cursor) free() {
	for _, f := range c.path {
		putFrame(f)
	}
	c.path = nil
}

func (c *cursor) push(f *frame) { c.path = append(c.path, f) }

func (c *cursor) top() *frame { return c.path[len(c.path)-1] }

func (c *cursor) pop() {
	n := len(c.path) - 1
	putFrame(c.path[n])
	c.path = c.path[:n]
}

// atStart puts the place before everything in the frame.
func (c *cursor) atStart(f *frame) {
	f.i = 0
	if c.reverse {
		f.i = 2 * len(f.keys)
	}
}

// loadRoot reads the root into f and reports whether there is one.
func (r *reader) loadRoot(ctx context.Context, f *frame) (bool, error) {
	if r.w != nil && r.w.root != nil {
		f.loadLive(r.w.root, 0, 0)
		return true, nil
	}
	if r.version < 2 {
		return false, nil
	}
	return true, f.load(ctx, r, r.version-1, 0, true)
}

// open moves to the first entry within the bounds.
func (c *cursor) open(ctx context.Context) error {
	start, incl := c.bounds.lower, c.bounds.lowerIncl
	if c.reverse {
		start, incl = c.bounds.upper, c.bounds.upperIncl
	}
	f := getFrame()
	ok, err := c.r.loadRoot(ctx, f)
	for depth := 1; ok && err == nil; depth++ {
		if depth > maxDepth {
			err = errTooDeep()
			break
		}
		c.atStart(f)
		if start == nil {
			c.push(f)
			c.opened = true
			return nil
		}
		var pos int
		var found bool
		if pos, found, err = f.search(ctx, c.r, start); err != nil {
			break
		}
		leaf := len(f.kids) == 0
		switch {
		case found && incl:
			f.i = 2*pos + 1
		case found && c.reverse:
			f.i = 2 * pos
		case found:
			f.i = 2*pos + 2
		case c.reverse:
			f.i = 2*pos - 1
		default:
			f.i = 2*pos + 1
		}
		child := f
		if !found && !leaf {
			child = getFrame()
			err = child.loadKid(ctx, c.r, f, pos)
		}
		if f.i >= 0 && f.i <= 2*len(f.keys) {
			c.push(f)
		} else {
			putFrame(f)
		}
		if found || leaf {
			c.opened = true
			return err
		}
		f = child
	}
	putFrame(f)
	c.opened = true
	return err
}

// next returns the next entry, seq 0 at the end.
func (c *cursor) next(ctx context.Context) (uint64, block, error) {
	c.inNext = true
	defer func() { c.inNext = false }()
	for len(c.path) > 0 {
		f := c.top()
		if f.i < 0 || f.i > 2*len(f.keys) {
			c.pop()
			continue
		}
		i := f.i
		c.step(f)
		if i&1 == 0 {
			if len(f.kids) > 0 {
				if err := c.descend(ctx, f, i>>1); err != nil {
					return 0, block{}, err
				}
			}
			continue
		}
		seq := f.keys[i>>1].seq
		b, err := c.r.block(ctx, seq, true)
		if err != nil {
			return 0, block{}, err
		}
		if c.beyond(b.key) {
			c.free()
			break
		}
		if err := c.inOrder(b.key); err != nil {
			return 0, block{}, err
		}
		return seq, b, nil
	}
	return 0, block{}, nil
}

func (c *cursor) step(f *frame) {
	if c.reverse {
		f.i--
	} else {
		f.i++
	}
}

// descend pushes child n of the top frame f.
func (c *cursor) descend(ctx context.Context, f *frame, n int) error {
	if len(c.path) >= maxDepth {
		return errTooDeep()
	}
	if c.nodes++; c.nodes > c.r.version {
		return fmt.Errorf("%w: more nodes than blocks", ErrNotAVersion)
	}
	child := getFrame()
	if err := child.loadKid(ctx, c.r, f, n); err != nil {
		putFrame(child)
		return err
	}
	if f.live != nil && f.live.stored && child.live != nil {
		// JavaScript detaches the child from a stored node here, and with it the
		// mark that a put without effect may have left. Blocks of a batch depend
		// on the mark.
		child.live.changed = false
	}
	c.atStart(child)
	c.push(child)
	return nil
}

// beyond reports whether a key is past the last bound.
func (c *cursor) beyond(k []byte) bool {
	end, incl := c.bounds.upper, c.bounds.upperIncl
	if c.reverse {
		end, incl = c.bounds.lower, c.bounds.lowerIncl
	}
	if end == nil {
		return false
	}
	cmp := c.compare(k, end)
	return cmp > 0 || cmp == 0 && !incl
}

// compare orders keys in the direction of the cursor.
func (c *cursor) compare(a, b []byte) int {
	if c.reverse {
		return bytes.Compare(b, a)
	}
	return bytes.Compare(a, b)
}

// inOrder fails unless k comes after the key before.
func (c *cursor) inOrder(k []byte) error {
	if c.started && c.compare(c.last, k) >= 0 {
		return fmt.Errorf("%w: keys are out of order", ErrNotAVersion)
	}
	c.last, c.started = k, true
	return nil
}
