package hypercore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// branch is a named, unsigned continuation of a log: it shares the first base
// blocks with it and keeps its own from there on.
type branch struct {
	log  *log
	st   *storage.Core
	name string

	change sync.Mutex // held across changes; after log.change

	mu   sync.RWMutex // guards what follows
	head head
	base uint64
}

// BranchOptions configures Branch.
type BranchOptions struct {
	// At is where a new branch leaves the log. Nil: at its current length.
	At *uint64
	// Overwrite starts again from the log if the branch exists.
	Overwrite bool
}

// Branch returns a handle on the named branch of the log, made if there is
// none. A branch starts with the blocks of the log and is then appended to and
// truncated on its own, unsigned and unseen by peers; it stays until
// [Core.DeleteBranch]. [Core.CommitBranch] makes its blocks part of the log.
func (c *Core) Branch(ctx context.Context, name string, opts *BranchOptions) (*Core, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if c.pinned() {
		return nil, fmt.Errorf("%w: branches are made of the log itself", ErrNotWritable)
	}
	var o BranchOptions
	if opts != nil {
		o = *opts
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	if o.Overwrite {
		if err := l.deleteBranch(name); err != nil {
			return nil, err
		}
	}
	b, err := l.openBranch(name, o.At)
	if err != nil {
		return nil, err
	}
	n := &Core{log: l, branch: b, readOnly: c.readOnly, done: make(chan struct{})}
	c.encMu.Lock()
	n.encKey, n.enc = c.encKey, c.enc
	c.encMu.Unlock()
	n.passive.Store(c.passive.Load())
	l.addHandle(!n.passive.Load())
	return n, nil
}

// openBranch finds or makes a branch. l.change is held.
func (l *log) openBranch(name string, at *uint64) (*branch, error) {
	if b := l.branches[name]; b != nil {
		return b, nil
	}
	b := &branch{log: l, name: name}
	rec, err := l.st.Branch(name)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		err = b.create(at)
	case err == nil:
		err = b.load(rec)
	}
	if err != nil {
		return nil, fmt.Errorf("branch %q: %w", name, err)
	}
	if l.branches == nil {
		l.branches = make(map[string]*branch)
	}
	l.branches[name] = b
	return b, nil
}

func (b *branch) create(at *uint64) error {
	h := b.log.state()
	length := h.Length
	if at != nil {
		length = *at
	}
	if length > h.Length {
		return fmt.Errorf("%w: %d of %d blocks", ErrOutOfRange, length, h.Length)
	}
	t, err := merkle.Load(b.log, h.Fork, length)
	if err != nil {
		return err
	}
	w := b.log.db.NewBatch()
	defer w.Close()
	b.head, b.base = head{Tree: t}, length
	if b.st, err = b.log.db.CreateBranch(w, b.log.st, b.name, length); err != nil {
		return err
	}
	w.SetHead(b.st, b.log.record(&b.head))
	return w.Commit(b.log.durability())
}

func (b *branch) load(rec storage.Branch) error {
	b.st, b.base = rec.Core, rec.Length
	h := b.st.Head()
	t, err := merkle.Load(b, h.Fork, h.Length)
	b.head = head{Tree: t}
	return err
}

// DeleteBranch removes a branch and what only it holds. Handles on it fail from
// then on. It is no error if there is none.
func (c *Core) DeleteBranch(ctx context.Context, name string) error {
	if err := c.open(); err != nil {
		return err
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	return l.deleteBranch(name)
}

func (l *log) deleteBranch(name string) error {
	rec, err := l.st.Branch(name)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	w := l.db.NewBatch()
	defer w.Close()
	w.DeleteCore(rec.Core)
	if err := w.Commit(l.durability()); err != nil {
		return fmt.Errorf("delete branch %q: %w", name, err)
	}
	delete(l.branches, name)
	return nil
}

func (b *branch) state() head {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.head
}

// Node makes branch a [merkle.Reader]: nodes over shared blocks are the log's.
func (b *branch) Node(index uint64) (merkle.Node, bool, error) {
	b.mu.RLock()
	base := b.base
	b.mu.RUnlock()
	if flattree.RightSpan(index) < 2*base {
		return b.log.Node(index)
	}
	return node(b.st, index)
}

// block appends the stored form of block i to dst.
func (b *branch) block(i uint64, dst []byte) ([]byte, error) {
	b.mu.RLock()
	length, base := b.head.Length, b.base
	b.mu.RUnlock()
	switch {
	case i >= length:
		return nil, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, i, length)
	case i < base:
		return b.log.block(i, dst)
	}
	out, err := b.st.Block(i, dst)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: block %d of branch %q", ErrNotAvailable, i, b.name)
	}
	if out == nil && err == nil {
		out = []byte{}
	}
	return out, err
}

func (b *branch) append(c *Core, blocks [][]byte) (uint64, error) {
	b.change.Lock()
	defer b.change.Unlock()
	old := b.state()
	if enc := c.encryption(); enc != nil {
		sealed := make([][]byte, len(blocks))
		for i, p := range blocks {
			var err error
			if sealed[i], err = seal(enc, old.Length+uint64(i), old.Fork, p); err != nil {
				return 0, err
			}
		}
		blocks = sealed
	}
	h, nodes := grow(&old, blocks)
	w := b.log.db.NewBatch()
	defer w.Close()
	w.PutBlocks(b.st, old.Length, blocks)
	w.PutNodes(b.st, nodes)
	w.SetHead(b.st, b.log.record(&h))
	if err := w.Commit(b.log.durability()); err != nil {
		return 0, fmt.Errorf("append to branch %q: %w", b.name, err)
	}
	b.mu.Lock()
	b.head = h
	b.mu.Unlock()
	return h.Length, nil
}

func (b *branch) truncate(length uint64) error {
	b.change.Lock()
	defer b.change.Unlock()
	old := b.state()
	if length > old.Length {
		return fmt.Errorf("%w: truncate %d blocks to %d", ErrOutOfRange, old.Length, length)
	}
	t, err := merkle.Load(b, old.Fork, length)
	if err != nil {
		return err
	}
	h := head{Tree: t}
	b.mu.RLock()
	base := min(b.base, length)
	b.mu.RUnlock()
	w := b.log.db.NewBatch()
	defer w.Close()
	w.TruncateBlocks(b.st, length)
	w.TruncateNodes(b.st, length)
	w.SetBranchLength(b.st, base)
	w.SetHead(b.st, b.log.record(&h))
	if err := w.Commit(b.log.durability()); err != nil {
		return fmt.Errorf("truncate branch %q: %w", b.name, err)
	}
	b.mu.Lock()
	b.head, b.base = h, base
	b.mu.Unlock()
	return nil
}

// branchesKeep copies to the branches what they share with the log and the log
// is about to lose: everything from block length on. l.change is held.
func (l *log) branchesKeep(length uint64) error {
	stored, err := l.st.Branches()
	if err != nil {
		return err
	}
	for _, s := range stored {
		b, err := l.openBranch(s.Name, nil)
		if err != nil {
			return err
		}
		if err := b.detach(length); err != nil {
			return fmt.Errorf("keep branch %q: %w", s.Name, err)
		}
	}
	return nil
}

// detach makes the branch share only the first length blocks.
func (b *branch) detach(length uint64) error {
	b.change.Lock()
	defer b.change.Unlock()
	b.mu.RLock()
	base := b.base
	b.mu.RUnlock()
	if base <= length {
		return nil
	}
	w := b.log.db.NewBatch()
	defer w.Close()
	// Every node whose last block is one of those that leave.
	for d := uint(0); uint64(1)<<d <= base; d++ {
		for o := length >> d; (o+1)<<d <= base; o++ {
			n, ok, err := b.log.Node(flattree.Index(d, o))
			if err != nil {
				return err
			}
			if ok {
				w.PutNode(b.st, n)
			}
		}
	}
	for i := length; i < base; i++ {
		data, err := b.log.block(i, nil)
		if errors.Is(err, ErrNotAvailable) {
			continue
		}
		if err != nil {
			return err
		}
		w.PutBlock(b.st, i, data)
	}
	w.SetBranchLength(b.st, length)
	if err := w.Commit(b.log.durability()); err != nil {
		return err
	}
	b.mu.Lock()
	b.base = length
	b.mu.Unlock()
	return nil
}

func (b *branch) snapshot(c *Core, length uint64) (*Core, error) {
	return nil, fmt.Errorf("%w: a branch has no snapshots", ErrNotWritable)
}

// CommitBranch appends to the log what the branch has beyond it, in one signed
// change, and returns the new length. The branch must extend the log as it is
// now, else [ErrBranchMoved]. length limits how much of the branch is taken; 0
// takes all.
func (c *Core) CommitBranch(ctx context.Context, from *Core, length uint64) (uint64, error) {
	b := from.branch
	if b == nil || b.log != c.log {
		return 0, fmt.Errorf("%w: not a branch of this log", ErrNotWritable)
	}
	if !c.Writable() {
		return 0, ErrNotWritable
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	h := l.state()
	bh := b.state()
	if length == 0 {
		length = bh.Length
	}
	if length > bh.Length || length < h.Length {
		return 0, fmt.Errorf("%w: the log has %d blocks, the branch %d", ErrBranchMoved, h.Length, bh.Length)
	}
	shared, err := merkle.Load(b, h.Fork, h.Length)
	if err != nil {
		return 0, err
	}
	if ours, theirs := h.Hash(), shared.Hash(); !bytes.Equal(ours[:], theirs[:]) {
		return 0, fmt.Errorf("%w: their first %d blocks differ", ErrBranchMoved, h.Length)
	}
	r := &appendRequest{}
	for i := h.Length; i < length; i++ {
		data, err := b.block(i, nil)
		if err != nil {
			return 0, err
		}
		r.blocks = append(r.blocks, data)
	}
	if len(r.blocks) == 0 {
		return h.Length, nil
	}
	l.appendLocked([]*appendRequest{r}, nil)
	return r.length, r.err
}
