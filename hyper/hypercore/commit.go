package hypercore

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// DraftCommit says how much of a draft becomes part of its log.
type DraftCommit struct {
	Draft *Core
	// Length is that of the log afterwards. Signature is the stored form of its
	// signers' signature over it; nil if the manifest fixes this length.
	Length    uint64
	Signature []byte
	// Checked: the caller has checked the parts of the signature against this
	// draft, or made them itself. It is not checked again.
	Checked bool
}

// UserRecord is a value to be stored next to a log; see [Core.SetUserData].
type UserRecord struct {
	Core  *Core
	Key   string
	Value []byte
}

// CommitDrafts makes blocks of drafts part of their logs and stores records next
// to logs, all as one change: after a crash either all of it is there or none.
// It returns before the change is durable: who keeps drafts can make them again.
// The logs must belong to one store. A log that has grown meanwhile, by what
// peers sent, to the same content, keeps its length.
//
// Errors: [ErrBranchMoved] if a log has other content than its draft,
// [ErrDraftBehind] while that is not known, and those of signatures that do not
// fit. Nothing is changed then.
func CommitDrafts(ctx context.Context, commits []DraftCommit, records ...UserRecord) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sorted := make([]*draftCommit, 0, len(commits))
	for i := range commits {
		d := commits[i].Draft.draft
		if d == nil || commits[i].Draft.readOnly {
			return fmt.Errorf("%w: not a draft", ErrNotWritable)
		}
		d.change.Lock()
		defer d.change.Unlock()
		sorted = append(sorted, &draftCommit{DraftCommit: &commits[i], d: d, log: d.under()})
	}
	// Everybody locks in the same order.
	sort.Slice(sorted, func(i, j int) bool { return bytes.Compare(sorted[i].log.key[:], sorted[j].log.key[:]) < 0 })
	var b *storage.Batch
	use := func(l *log) {
		if b == nil {
			b = l.db.NewBatch()
		}
	}
	for _, c := range sorted {
		c.log.change.Lock()
		defer c.log.change.Unlock()
		use(c.log)
		if err := c.prepare(b); err != nil {
			b.Close()
			return fmt.Errorf("commit draft of log %s: %w", c.log.key, err)
		}
	}
	for _, r := range records {
		use(r.Core.log)
		b.SetUserData(r.Core.log.st, r.Key, r.Value)
	}
	if b == nil {
		return nil
	}
	defer b.Close()
	if err := b.Commit(storage.Relaxed); err != nil {
		for _, c := range sorted {
			c.log.fail(err)
		}
		return fmt.Errorf("store drafts: %w", err)
	}
	for _, c := range sorted {
		if c.grown != nil {
			c.log.grown(c.grown, c.log.durability())
		}
		if c.filled {
			c.d.settle(c.log, c.Length)
		}
	}
	return nil
}

// draftCommit is one log's part of a CommitDrafts.
type draftCommit struct {
	*DraftCommit
	d      *draft
	log    *log
	grown  *head // the new head of the log
	filled bool  // the log has all blocks of the draft up to Length
}

// prepare checks one part and adds it to the batch. The locks are held.
func (c *draftCommit) prepare(b *storage.Batch) error {
	l, d := c.log, c.d
	if err := l.usable(); err != nil {
		return err
	}
	dh, h := d.state(), l.state()
	if c.Length > dh.Length {
		return fmt.Errorf("%w: %d of %d blocks", ErrOutOfRange, c.Length, dh.Length)
	}
	if c.Length < d.base {
		return nil
	}
	t, err := merkle.Load(d, h.Fork, c.Length)
	if err != nil {
		return err
	}
	if err := sameTree(d, &dh, l, &h, c.Length); err != nil {
		return err
	}
	if h.Length < c.Length {
		if v := l.verifier(); !c.Checked && !v.Signed(&t, c.Signature) {
			return merkle.ErrSignature
		}
		c.grown = &head{Tree: t, signature: append([]byte(nil), c.Signature...)}
	}
	d.mu.RLock()
	base, blocks := d.base, d.blocks[:c.Length-d.base]
	d.mu.RUnlock()
	from, err := merkle.Load(d, h.Fork, base)
	if err != nil {
		return err
	}
	var nodes []merkle.Node
	for _, leaf := range hashLeaves(base, blocks) {
		nodes = from.Append(leaf, nodes)
	}
	b.PutBlocks(l.st, base, blocks)
	b.PutNodes(l.st, nodes)
	if c.grown != nil {
		b.SetHead(l.st, l.record(c.grown))
	}
	c.filled = true
	return nil
}

// sameTree checks that what is common to draft and log is the same up to length. Of a
// log that peers filled only the roots need be held, and few other nodes. What the
// draft has beyond length need not be final.
func sameTree(d *draft, dh *head, l *log, h *head, length uint64) error {
	for _, n := range []uint64{min(length, h.Length), min(dh.Length, h.Length)} {
		ours, err := merkle.Load(d, 0, n)
		if err != nil {
			continue
		}
		theirs, err := merkle.Load(l, 0, n)
		if err != nil {
			continue
		}
		switch {
		case ours.Hash() == theirs.Hash():
			return nil
		case n <= length:
			return fmt.Errorf("%w: their first %d blocks differ", ErrBranchMoved, n)
		}
	}
	return fmt.Errorf("%w: %d of %d blocks", ErrDraftBehind, dh.Length, h.Length)
}

// takePrologue copies what is held of a draft, which is the prologue of l.
func (l *log) takePrologue(ctx context.Context, d *draft, dh *head) error {
	l.change.Lock()
	defer l.change.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.mu.RLock()
	rules, have := l.rules, l.head
	l.mu.RUnlock()
	if rules == nil || rules.Prologue() == nil || rules.Prologue().Length != dh.Length || rules.Prologue().Hash != dh.Hash() {
		return fmt.Errorf("%w: the draft is not the prologue of the log", ErrKeyMismatch)
	}
	b := l.db.NewBatch()
	defer b.Close()
	b.PutNodes(l.st, dh.Roots)
	done := make(map[uint64]struct{})
	for i := range dh.Length {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := d.block(i, nil)
		if err != nil {
			continue // not held here
		}
		if err := copyPath(b, l.st, d, dh.Length, i, done); err != nil {
			return err
		}
		b.PutBlock(l.st, i, data)
	}
	var h *head
	if have.Length < dh.Length {
		h = &head{Tree: dh.Clone()}
		h.Fork = have.Fork
		b.SetHead(l.st, l.record(h))
	}
	if err := l.commit(b, l.durability()); err != nil {
		return err
	}
	if h != nil {
		l.grown(h, l.durability())
	}
	return nil
}

// copyPath copies the nodes that prove block i, up to those that are in done.
func copyPath(b *storage.Batch, st *storage.Core, r merkle.Reader, length, i uint64, done map[uint64]struct{}) error {
	for x := 2 * i; ; x = flattree.Parent(x) {
		for _, y := range [2]uint64{x, flattree.Sibling(x)} {
			if _, ok := done[y]; ok || flattree.RightSpan(y) >= 2*length {
				continue
			}
			n, ok, err := r.Node(y)
			if err != nil {
				return err
			}
			if ok {
				b.PutNode(st, n)
				done[y] = struct{}{}
			}
		}
		p := flattree.Parent(x)
		if _, ok := done[p]; ok || flattree.RightSpan(p) >= 2*length {
			return nil
		}
	}
}
