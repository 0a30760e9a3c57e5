package hyperbee

import (
	"context"
	"errors"
	"fmt"
)

// PutOptions configures one put. CAS, when set, is called if the key exists,
// with the stored entry and the one to be written; false leaves the tree as it
// is. It must not use the tree.
type PutOptions struct {
	CAS func(prev, next Entry) bool
}

// DelOptions configures one delete. CAS is as in PutOptions; the value of next
// is nil.
type DelOptions struct {
	CAS func(prev, next Entry) bool
}

// writer applies operations to the current tree: one for a put or delete, many
// for a batch. It is used while the tree's write lock is held.
type writer struct {
	t       *Tree
	r       *reader
	base    uint64 // length of the log, without pending operations
	root    *node  // nil until read
	pending []operation
	path    []step
	failed  error // an operation stopped half way: the nodes are in disorder

	index []*child // free memory for the indexes of pending operations
	bytes []byte   // free memory for keys and values
}

// operation is a block to be written. Later operations of a batch change the
// children and nodes in its index.
type operation struct {
	key, value []byte
	index      []*child
}

// step is a node on the way from the root, which is child pos of the step
// before.
type step struct {
	n   *node
	pos int
}

// writer returns a writer on the current tree, after writing the header of an
// empty log. The caller holds the write lock.
func (t *Tree) writer(ctx context.Context) (*writer, error) {
	if !t.Writable() {
		return nil, ErrReadOnly
	}
	core := t.s.core
	if core.Length() == 0 {
		h := Header{Protocol: Protocol, Metadata: t.s.opts.Metadata}
		if _, err := core.Append(ctx, h.AppendTo(nil)); err != nil {
			return nil, fmt.Errorf("append header: %w", err)
		}
	}
	w := &writer{t: t, r: &reader{s: t.s, core: core, wait: !t.local, fork: core.Fork()}}
	w.base = core.Length()
	w.r.version, w.r.w = w.base, w
	t.s.followFork(w.r.fork)
	if w.base < t.s.end {
		// A branch was cut, which does not change its fork.
		t.s.truncateCaches(w.base, w.r.fork)
	}
	t.s.end = w.base
	return w, nil
}

// pendingBlock returns an operation that is not written yet.
func (w *writer) pendingBlock(seq uint64) (block, error) {
	if i := seq - w.base; i < uint64(len(w.pending)) {
		o := &w.pending[i]
		return block{key: o.key, value: o.value, hasValue: o.value != nil}, nil
	}
	return block{}, fmt.Errorf("%w: block %d", ErrNotAVersion, seq)
}

// loadRoot returns the root, nil in an empty tree without blocks.
func (w *writer) loadRoot(ctx context.Context) (*node, error) {
	if w.root != nil || w.base < 2 {
		return w.root, nil
	}
	f := getFrame()
	defer putFrame(f)
	if err := f.load(ctx, w.r, w.base-1, 0, true); err != nil {
		return nil, err
	}
	w.root = nodeOf(f)
	return w.root, nil
}

// child returns child i of n.
func (w *writer) child(ctx context.Context, n *node, i int) (*node, error) {
	c := n.children[i]
	if c.node != nil {
		return c.node, nil
	}
	f := getFrame()
	defer putFrame(f)
	if err := f.load(ctx, w.r, c.seq, c.offset, false); err != nil {
		return nil, err
	}
	c.node = nodeOf(f)
	return c.node, nil
}

func (w *writer) push(n *node, pos int) error {
	if len(w.path) >= maxDepth {
		return errTooDeep()
	}
	w.path = append(w.path, step{n, pos})
	return nil
}

// put sets a key and reports whether there is something to write. w keeps k
// and value.
func (w *writer) put(ctx context.Context, k, value []byte, cas func(prev, next Entry) bool) (bool, error) {
	root, err := w.loadRoot(ctx)
	if err != nil {
		return false, err
	}
	if root == nil {
		root = newNode(false)
	}
	w.path = w.path[:0]
	n, pos := root, 0
	for {
		if err := w.push(n, pos); err != nil {
			return false, err
		}
		inner := !n.leaf()
		if inner {
			// Marked before it is known whether anything is written, as in
			// JavaScript: in a batch the mark outlives a put without effect.
			n.changed = true
		}
		var found bool
		if pos, found, err = n.search(ctx, w, k); err != nil {
			return false, err
		}
		if found {
			keep, err := w.keep(ctx, n.keys[pos].seq, k, value, cas)
			if err != nil || keep {
				return false, err
			}
			n.keys[pos] = key{seq: w.seq(), b: k}
			n.changed = true
			w.commit(root, k, value)
			return true, nil
		}
		if !inner {
			break
		}
		if n, err = w.child(ctx, n, pos); err != nil {
			return false, err
		}
	}
	w.insert(root, pos, key{seq: w.seq(), b: k})
	w.commit(w.root, k, value)
	return true, nil
}

// insert adds a key to the leaf at the end of the path, splits what gets too
// large and sets the root.
func (w *writer) insert(root *node, pos int, k key) {
	level := len(w.path) - 1
	n := w.path[level].n
	n.insertKey(pos, k)
	n.changed = true
	for len(n.keys) >= maxKeys {
		median, right := n.split()
		if level == 0 {
			root = newNode(true)
			root.keys = append(root.keys, median)
			root.children = append(root.children, &child{node: n}, &child{node: right})
			break
		}
		pos := w.path[level].pos
		level--
		n = w.path[level].n
		n.insertKey(pos, median)
		n.insertChild(pos+1, &child{node: right})
		n.changed = true
	}
	w.root = root
}

// keep reports whether the entry seq, which has the key k, is to stay.
func (w *writer) keep(ctx context.Context, seq uint64, k, value []byte, cas func(prev, next Entry) bool) (bool, error) {
	if cas == nil && !w.t.skip {
		return false, nil
	}
	prev, err := w.r.block(ctx, seq, true)
	if err != nil {
		return false, err
	}
	if cas != nil && !cas(w.t.entry(seq, &prev), w.next(k, value)) {
		return true, nil
	}
	return w.t.skip && sameValue(prev.value, value), nil
}

func (w *writer) next(k, value []byte) Entry {
	return w.t.entry(w.seq(), &block{key: k, value: value})
}

// seq is the block the next operation is going to be.
func (w *writer) seq() uint64 { return w.base + uint64(len(w.pending)) }

// commit makes the changed nodes below root a pending operation.
func (w *writer) commit(root *node, k, value []byte) {
	seq := w.seq()
	if cap(w.index) < maxDepth {
		w.index = make([]*child, 0, min(maxDepth<<min(len(w.pending), 5), 512))
	}
	index := root.collect(w.index, seq)
	w.index = index[len(index):]
	index = index[:len(index):len(index)]
	index[0] = &child{seq: seq, node: root}
	w.root = root
	w.pending = append(w.pending, operation{key: k, value: value, index: index})
	w.r.version = w.seq()
}

// copy returns prefix and b in memory of the writer; never nil.
func (w *writer) copy(prefix, b []byte) []byte {
	size := len(prefix) + len(b)
	if w.bytes == nil || cap(w.bytes)-len(w.bytes) < size {
		w.bytes = make([]byte, 0, max(size, min(4096<<min(len(w.pending)/64, 4), 64<<10)))
	}
	start := len(w.bytes)
	w.bytes = append(append(w.bytes, prefix...), b...)
	return w.bytes[start:len(w.bytes):len(w.bytes)]
}

// blocks encodes the pending operations. It may be called once.
func (w *writer) blocks() [][]byte {
	out := make([][]byte, len(w.pending))
	var buf []byte
	for i := range w.pending {
		o := &w.pending[i]
		if i < len(w.pending)-1 {
			o.index = settle(o.index, w.base+uint64(i))
		}
		if size := blockSize(o.key, o.value, o.index); cap(buf)-len(buf) < size {
			buf = make([]byte, 0, max(size, min(64<<10, size*(len(w.pending)-i))))
		}
		start := len(buf)
		buf = appendBlock(buf, o.key, o.value, o.index)
		out[i] = buf[start:len(buf):len(buf)]
	}
	return out
}

// settle leaves in the index of an inner operation of a batch only what no
// later operation took over, and assigns the offsets. The order that results is
// part of the format.
func settle(index []*child, seq uint64) []*child {
	index[0] = nil
	for j := 0; j < len(index); {
		if c := index[j]; c != nil && c.seq == seq {
			c.offset = uint64(j)
			j++
			continue
		}
		last := len(index) - 1
		index[j] = index[last]
		index = index[:last]
	}
	return index
}

var errMoved = errors.New("hyperbee: the log changed during a write")

// flush appends the pending operations at once.
func (w *writer) flush(ctx context.Context) error {
	if w.failed != nil {
		return fmt.Errorf("flush after a failed operation: %w", w.failed)
	}
	if len(w.pending) == 0 {
		return nil
	}
	core := w.t.s.core
	if core.Length() != w.base || core.Fork() != w.r.fork {
		return errMoved
	}
	blocks := w.blocks()
	n, err := core.Append(ctx, blocks...)
	if err != nil {
		return fmt.Errorf("append %d blocks: %w", len(blocks), err)
	}
	if n != w.base+uint64(len(blocks)) {
		return errMoved
	}
	w.t.s.end = n
	for i, raw := range blocks {
		b, err := parseBlock(raw)
		if err != nil {
			return err
		}
		// Values are not needed to go on writing.
		b.value = nil
		w.t.s.cache.put(w.base+uint64(i), w.r.fork, &b)
		w.t.s.keys.put(w.base+uint64(i), w.r.fork, &block{key: b.key})
	}
	return nil
}

// get reads a key as of the pending operations.
func (w *writer) get(ctx context.Context, k []byte) (Entry, bool, error) {
	n, err := w.loadRoot(ctx)
	if err != nil || n == nil {
		return Entry{}, false, err
	}
	for depth := 0; depth < maxDepth; depth++ {
		pos, found, err := n.search(ctx, w, k)
		if err != nil {
			return Entry{}, false, err
		}
		if found {
			e, err := w.r.entry(ctx, w.t, n.keys[pos].seq)
			return e, err == nil, err
		}
		if n.leaf() {
			return Entry{}, false, nil
		}
		if n.children[pos].node == nil {
			f := getFrame()
			defer putFrame(f)
			if err := f.load(ctx, w.r, n.children[pos].seq, n.children[pos].offset, false); err != nil {
				return Entry{}, false, err
			}
			return w.t.descend(ctx, w.r, f, k)
		}
		n = n.children[pos].node
	}
	return Entry{}, false, errTooDeep()
}
