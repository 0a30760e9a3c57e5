package hypercore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// draft is an unsigned continuation of a log that lives in memory: it shares the
// first base blocks with the log and has its own from there on.
type draft struct {
	events listeners
	parent *draft // of a snapshot, for its nodes

	change sync.Mutex // held across changes

	mu     sync.RWMutex // guards what follows
	log    *log         // that it continues
	head   head         // always of fork 0
	base   uint64
	blocks [][]byte // stored form, from base on; elements never change
	nodes  map[uint64]merkle.Node
}

// Draft returns a handle on a continuation of the log's first length blocks in
// memory. It is appended to, read and truncated as a log, always at fork 0, seen
// by nobody else and gone after a crash. [CommitDrafts] makes its blocks part of
// the log, [Core.Rebase] moves it on top of another log.
//
// The draft does not keep the log open: the handle it was made from must stay
// open as long as the draft is on that log.
func (c *Core) Draft(length uint64) (*Core, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if c.pinned() {
		return nil, fmt.Errorf("%w: drafts are made of the log itself", ErrNotWritable)
	}
	if have := c.log.state().Length; length > have {
		return nil, fmt.Errorf("%w: %d of %d blocks", ErrOutOfRange, length, have)
	}
	t, err := merkle.Load(c.log, 0, length)
	if err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	d := &draft{log: c.log, head: head{Tree: t}, base: length, nodes: make(map[uint64]merkle.Node)}
	n := &Core{log: c.log, draft: d, done: make(chan struct{})}
	c.encMu.Lock()
	n.encKey, n.enc = c.encKey, c.enc
	c.encMu.Unlock()
	return n, nil
}

// pinned tells that the handle does not follow the log.
func (c *Core) pinned() bool { return c.snap != nil || c.branch != nil || c.draft != nil }

// under returns the log that the handle reads shared blocks of.
func (c *Core) under() *log {
	if c.draft != nil {
		return c.draft.under()
	}
	return c.log
}

func (d *draft) under() *log {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.log
}

func (d *draft) state() head {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.head
}

// Node makes draft a [merkle.Reader]: nodes over shared blocks are the log's.
func (d *draft) Node(index uint64) (merkle.Node, bool, error) {
	if d.parent != nil {
		return d.parent.Node(index)
	}
	d.mu.RLock()
	n, ok := d.nodes[index]
	l, base := d.log, d.base
	d.mu.RUnlock()
	if flattree.RightSpan(index) < 2*base {
		return l.Node(index)
	}
	return n, ok, nil
}

// block appends the stored form of block i to dst.
func (d *draft) block(i uint64, dst []byte) ([]byte, error) {
	d.mu.RLock()
	length, base, l := d.head.Length, d.base, d.log
	var own []byte
	if i >= base && i < length {
		own = d.blocks[i-base]
	}
	d.mu.RUnlock()
	switch {
	case i >= length:
		return nil, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, i, length)
	case i < base:
		return l.block(i, dst)
	}
	if dst == nil {
		dst = make([]byte, 0, len(own))
	}
	return append(dst, own...), nil
}

func (d *draft) has(start, end uint64) bool {
	d.mu.RLock()
	base, l := d.base, d.log
	d.mu.RUnlock()
	end = min(end, base)
	return start >= end || l.st.Has(start, end)
}

func (d *draft) append(c *Core, blocks [][]byte) (uint64, error) {
	d.change.Lock()
	defer d.change.Unlock()
	old := d.state()
	enc := c.encryption()
	stored := make([][]byte, len(blocks))
	for i, p := range blocks {
		if enc == nil {
			stored[i] = append(make([]byte, 0, len(p)), p...)
			continue
		}
		var err error
		if stored[i], err = seal(enc, old.Length+uint64(i), 0, p); err != nil {
			return 0, err
		}
	}
	h, nodes := grow(&old, stored)
	d.mu.Lock()
	d.head = h
	d.blocks = append(d.blocks, stored...)
	for _, n := range nodes {
		d.nodes[n.Index] = n
	}
	d.mu.Unlock()
	d.events.emit(Event{Type: EventAppend, Length: h.Length})
	return h.Length, nil
}

// truncate cuts the draft, also below what it shares with the log.
func (d *draft) truncate(length uint64) error {
	d.change.Lock()
	defer d.change.Unlock()
	old := d.state()
	if length > old.Length {
		return fmt.Errorf("%w: truncate %d blocks to %d", ErrOutOfRange, old.Length, length)
	}
	if length == old.Length {
		return nil
	}
	t, err := merkle.Load(d, 0, length)
	if err != nil {
		return fmt.Errorf("truncate draft: %w", err)
	}
	d.mu.Lock()
	d.head = head{Tree: t}
	if length < d.base {
		d.base, d.blocks = length, nil
		clear(d.nodes)
	} else {
		// Snapshots may share the array behind the slice.
		d.blocks = slices.Clip(d.blocks[:length-d.base])
	}
	d.mu.Unlock()
	d.events.emit(Event{Type: EventTruncate, Length: length, Index: length})
	return nil
}

// snapshot returns a handle on the draft as it is now, cut to length.
func (d *draft) snapshot(c *Core, length uint64) (*Core, error) {
	d.mu.RLock()
	s := &draft{parent: d, log: d.log, head: d.head, base: d.base, blocks: d.blocks[:len(d.blocks):len(d.blocks)]}
	d.mu.RUnlock()
	if d.parent != nil {
		s.parent = d.parent
	}
	if length < s.head.Length {
		t, err := merkle.Load(s, 0, length)
		if err != nil {
			t.Length = length // what has no roots can still be read
		}
		s.head = head{Tree: t}
		if length < s.base {
			s.base, s.blocks = length, nil
		} else {
			s.blocks = s.blocks[:length-s.base]
		}
	}
	n := &Core{log: c.log, draft: s, readOnly: true, done: make(chan struct{})}
	c.encMu.Lock()
	n.encKey, n.enc = c.encKey, c.enc
	c.encMu.Unlock()
	return n, nil
}

// settle makes the draft share everything below length with l. d.change is held.
func (d *draft) settle(l *log, length uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if length >= d.base && length-d.base <= uint64(len(d.blocks)) {
		d.blocks = append([][]byte(nil), d.blocks[length-d.base:]...)
	} else {
		d.blocks = nil
	}
	d.log, d.base = l, length
	nodes := make(map[uint64]merkle.Node) // one that was emptied keeps its memory
	for x, n := range d.nodes {
		if flattree.RightSpan(x) >= 2*length {
			nodes[x] = n
		}
	}
	d.nodes = nodes
}

// TreeAt returns the state of the tree when the log had the given length, as far
// as its nodes are held.
func (c *Core) TreeAt(length uint64) (hypercrypto.TreeState, error) {
	h := c.view()
	if length > h.Length {
		return hypercrypto.TreeState{}, fmt.Errorf("%w: tree of %d of %d blocks", ErrOutOfRange, length, h.Length)
	}
	if length == h.Length {
		return h.State(), nil
	}
	t, err := merkle.Load(c.nodes(), h.Fork, length)
	if err != nil {
		return hypercrypto.TreeState{}, err
	}
	return t.State(), nil
}

// Growth returns the nodes that prove that the log of length to is a
// continuation of the log of length from: what a signer's signature over the
// longer one needs to count for the shorter one.
func (c *Core) Growth(from, to uint64) ([]hypercrypto.TreeNode, error) {
	h := c.view()
	if to > h.Length || from >= to {
		return nil, fmt.Errorf("%w: growth from %d to %d of %d blocks", ErrOutOfRange, from, to, h.Length)
	}
	t, err := merkle.Load(c.nodes(), h.Fork, to)
	if err != nil {
		return nil, err
	}
	p, err := t.Prove(c.nodes(), &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: from, Length: to - from}}, 0)
	if err != nil {
		return nil, fmt.Errorf("growth from %d to %d: %w", from, to, err)
	}
	return p.Upgrade.Nodes, nil
}

// Rebase puts the draft, as it is now, on top of another log whose manifest
// fixes these very blocks as its prologue, or on an empty log if the draft is
// empty. Blocks and proofs that are held here are copied to that log.
func (c *Core) Rebase(ctx context.Context, to *Core) error {
	d := c.draft
	if d == nil || c.readOnly || to.pinned() {
		return fmt.Errorf("%w: only a draft can be put on another log", ErrNotWritable)
	}
	d.change.Lock()
	defer d.change.Unlock()
	h := d.state()
	if h.Length > 0 {
		if err := to.log.takePrologue(ctx, d, &h); err != nil {
			return err
		}
	}
	d.settle(to.log, h.Length)
	return nil
}

// Reset makes the draft, whatever it has, the first length blocks of another
// log. It is a truncation to nothing followed by an append.
func (c *Core) Reset(to *Core, length uint64) error {
	d := c.draft
	if d == nil || c.readOnly || to.pinned() {
		return fmt.Errorf("%w: only a draft can be put on another log", ErrNotWritable)
	}
	d.change.Lock()
	defer d.change.Unlock()
	if have := to.log.state().Length; length > have {
		return fmt.Errorf("%w: %d of %d blocks", ErrOutOfRange, length, have)
	}
	t, err := merkle.Load(to.log, 0, length)
	if err != nil {
		return fmt.Errorf("reset draft: %w", err)
	}
	d.mu.Lock()
	d.log, d.head, d.base, d.blocks = to.log, head{Tree: t}, length, nil
	clear(d.nodes)
	d.mu.Unlock()
	d.events.emit(Event{Type: EventTruncate, Length: length})
	if length > 0 {
		d.events.emit(Event{Type: EventAppend, Length: length})
	}
	return nil
}
