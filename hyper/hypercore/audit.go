package hypercore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// AuditOptions configures Audit.
type AuditOptions struct {
	// Repair drops blocks that are damaged, so that they are fetched again. On
	// a log that is written here, what cannot be fetched is lost: it is then cut
	// at the first damaged block, under a higher fork.
	Repair bool
	// CutDamaged allows Repair to cut a log that is written here. Without it
	// such a log is only reported.
	CutDamaged bool
	// Progress is called with the number of blocks checked and to be checked.
	Progress func(done, total uint64)
}

// AuditReport is the result of Audit.
type AuditReport struct {
	Blocks    uint64   // blocks checked
	Damaged   []uint64 // blocks whose bytes are not what the tree says, at most maxReported
	DamagedN  uint64   // how many
	BadNodes  []uint64 // tree nodes that contradict their children, at most maxReported
	BadNodesN uint64
	BadHead   bool // the signature does not fit the roots
	// Lost are the blocks of a log written here that the disk had confirmed and
	// a crash took, see [storage.Core.Lost]. Peers that have them give them back,
	// as any block that is not held.
	Lost    []uint64
	Dropped uint64
	CutTo   *uint64 // the length that a repair cut the log to
}

// OK tells that nothing is wrong, or nothing was before a repair.
func (r *AuditReport) OK() bool {
	return r.DamagedN == 0 && r.BadNodesN == 0 && !r.BadHead && len(r.Lost) == 0
}

const maxReported = 100

// Audit reads every block that is held and every tree node above it, and checks
// them against each other and against the signature. It may run while the log
// is used; what is appended meanwhile is not covered.
func (c *Core) Audit(ctx context.Context, opts *AuditOptions) (*AuditReport, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	var o AuditOptions
	if opts != nil {
		o = *opts
	}
	a := &auditor{log: c.log, opts: o, head: c.log.state(), report: &AuditReport{}}
	if err := a.run(ctx); err != nil {
		return nil, fmt.Errorf("audit log %s: %w", c.log.key, err)
	}
	if o.Repair && a.report.DamagedN > 0 {
		if err := a.repair(ctx, c); err != nil {
			return a.report, fmt.Errorf("repair log %s: %w", c.log.key, err)
		}
	}
	return a.report, nil
}

type auditor struct {
	log    *log
	opts   AuditOptions
	head   head
	report *AuditReport
	bad    []uint64 // all damaged blocks
	buf    []byte
}

func (a *auditor) run(ctx context.Context) error {
	l := a.log
	total := l.st.CountHeld(0, a.head.Length)
	l.mu.RLock()
	rules, kp := l.rules, l.keyPair
	l.mu.RUnlock()
	if rules != nil && kp != nil && rules.CanSign(kp.Public) {
		lost, err := l.st.Lost()
		if err != nil {
			return err
		}
		a.report.Lost = slices.DeleteFunc(lost, func(i uint64) bool { return i >= a.head.Length })
	}
	if len(a.head.signature) > 0 && rules != nil {
		v := merkle.Verifier{Key: l.key, Rules: rules}
		a.report.BadHead = !v.Signed(&a.head.Tree, a.head.signature)
	}
	for i := uint64(0); ; i++ {
		next, ok := l.st.NextHeld(i)
		if i = next; !ok || i >= a.head.Length {
			break
		}
		if err := a.block(i); err != nil {
			return err
		}
		a.report.Blocks++
		if a.report.Blocks%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if a.opts.Progress != nil {
				a.opts.Progress(a.report.Blocks, total)
			}
		}
	}
	if a.opts.Progress != nil {
		a.opts.Progress(a.report.Blocks, total)
	}
	for i := range a.head.Roots {
		if err := a.node(ctx, &a.head.Roots[i]); err != nil {
			return err
		}
	}
	return nil
}

// block compares a block with its leaf.
func (a *auditor) block(i uint64) error {
	var err error
	a.buf, err = a.log.st.Block(i, a.buf[:0])
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrCorrupt):
		a.damaged(i)
		return nil
	case err != nil:
		return err
	}
	leaf, ok, err := a.log.Node(2 * i)
	if err != nil {
		return err
	}
	if own := merkle.Leaf(i, a.buf); !ok || own != leaf {
		a.damaged(i)
	}
	return nil
}

func (a *auditor) damaged(i uint64) {
	a.bad = append(a.bad, i)
	a.report.DamagedN++
	if len(a.report.Damaged) < maxReported {
		a.report.Damaged = append(a.report.Damaged, i)
	}
}

// node compares a node with its children, as far as they are stored.
func (a *auditor) node(ctx context.Context, n *merkle.Node) error {
	if flattree.Depth(n.Index) == 0 {
		return nil
	}
	if flattree.Depth(n.Index) > 8 {
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	li, ri := flattree.Children(n.Index)
	left, ok1, err := a.log.Node(li)
	if err != nil {
		return err
	}
	right, ok2, err := a.log.Node(ri)
	if err != nil {
		return err
	}
	if ok1 && ok2 && merkle.Parent(&left, &right) != *n {
		a.report.BadNodesN++
		if len(a.report.BadNodes) < maxReported {
			a.report.BadNodes = append(a.report.BadNodes, n.Index)
		}
	}
	if ok1 {
		if err := a.node(ctx, &left); err != nil {
			return err
		}
	}
	if ok2 {
		return a.node(ctx, &right)
	}
	return nil
}

func (a *auditor) repair(ctx context.Context, c *Core) error {
	if c.Writable() {
		if !a.opts.CutDamaged {
			return nil
		}
		to := a.bad[0]
		if err := c.Truncate(ctx, to, nil); err != nil {
			return err
		}
		a.report.CutTo = &to
		return nil
	}
	for _, i := range a.bad {
		if err := c.Clear(ctx, i, i+1); err != nil {
			return err
		}
		a.report.Dropped++
	}
	return nil
}
