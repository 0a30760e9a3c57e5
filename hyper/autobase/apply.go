package autobase

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/linearizer"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
	"github.com/tradle/cloudpal/hyper/storage"
)

// applyNext applies the first append of nodes, or leaves out the first node, and
// returns how many nodes that are.
func (e *engine) applyNext(ctx context.Context, nodes []*linearizer.Node) (int, error) {
	s := e.sys
	if s.info.Members == 0 {
		if err := s.add(ctx, e.lineage.base, true); err != nil {
			return 0, err
		}
	}
	e.refused, e.note = nil, nil
	var queue []Node
	for i := range nodes {
		n := nodes[i].Value.(*node)
		active, err := s.active(ctx, n.Key)
		if err != nil {
			return 0, err
		}
		if !active && n.block.Optimistic && e.optimistic {
			ok, err := e.tryOptimistic(ctx, n)
			if err != nil {
				return 0, err
			}
			if ok {
				return 1, e.flush(ctx, nodes[:1], false)
			}
		}
		if !active && !slices.Contains(e.indexers, n.Key) {
			if i > 0 {
				return 0, fmt.Errorf("autobase: log %s lost its membership within an append", n.Key)
			}
			e.leaveOut(n)
			return 1, nil
		}
		if err := e.link(ctx, n); err != nil {
			return 0, err
		}
		if n.block.Value != nil && active {
			queue = append(queue, n.public())
		}
		if n.block.Batch > 1 && i+1 < len(nodes) {
			continue
		}
		if len(queue) > 0 {
			if _, err := e.call(ctx, queue); err != nil {
				return 0, err
			}
		}
		return i + 1, e.flush(ctx, nodes[:i+1], !active)
	}
	return 0, nil
}

// leaveOut makes a unit of a node that has no effect.
func (e *engine) leaveOut(n *node) {
	p := e.reached()
	e.applied = append(e.applied, unit{nodes: []*node{n}, after: p})
	e.visible(n, p, true)
}

// link makes a node, and those of removed writers that only it leads to, part of
// the base.
func (e *engine) link(ctx context.Context, n *node) error {
	passed, err := e.causal(ctx, n)
	if err != nil {
		return err
	}
	for i := len(passed) - 1; i >= 0; i-- {
		d := passed[i]
		ok, err := e.sys.linkable(ctx, d.Ref)
		if err != nil {
			return err
		}
		if ok {
			e.sys.addHead(d.Ref, d.block.Heads)
		}
	}
	e.sys.addHead(n.Ref, n.block.Heads)
	return nil
}

// causal returns the unconfirmed nodes of writers that are no members which a
// node depends on, directly or through other such nodes.
func (e *engine) causal(ctx context.Context, n *node) ([]*node, error) {
	var order []*node
	seen := map[*node]struct{}{n: {}}
	for stack := []*node{n}; len(stack) > 0; {
		x := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for d := range e.dependencies(x) {
			if slices.Contains(e.indexers, d.Key) {
				continue
			}
			active, err := e.sys.active(ctx, d.Key)
			if err != nil {
				return nil, err
			}
			if _, ok := seen[d]; ok || active {
				continue
			}
			seen[d] = struct{}{}
			stack, order = append(stack, d), append(order, d)
		}
	}
	return order, nil
}

// dependencies yields the unconfirmed nodes that a node refers to, and the one
// before it in its log.
func (e *engine) dependencies(n *node) func(yield func(*node) bool) {
	return func(yield func(*node) bool) {
		own := oplog.Ref{Key: n.Key, Length: n.Length - 1}
		for _, h := range n.block.Heads {
			if h == own {
				own.Length = 0
			}
			if d := e.named(h); d != nil && !yield(d) {
				return
			}
		}
		if d := e.node(own); d != nil {
			yield(d)
		}
	}
}

// node returns a node that is not confirmed, nil if it is.
func (e *engine) node(r oplog.Ref) *node {
	w := e.byKey[r.Key]
	if w == nil || r.Length <= max(w.offset, w.passed) || r.Length > w.given {
		return nil
	}
	return w.nodes[r.Length-1-w.offset]
}

// tryOptimistic applies the node of somebody who is no member. It counts if the
// application takes it.
func (e *engine) tryOptimistic(ctx context.Context, n *node) (bool, error) {
	before := e.save()
	e.sys.addHead(n.Ref, n.block.Heads)
	r, err := e.sys.member(ctx, n.Key)
	if err != nil {
		return false, err
	}
	pre := r.member.Length
	ok, err := e.call(ctx, []Node{n.public()})
	if err != nil {
		return false, err
	}
	if ok {
		if r, err = e.sys.member(ctx, n.Key); err != nil {
			return false, err
		}
		if r.found && r.member.Length != pre {
			return true, nil
		}
	}
	return false, e.restore(ctx, before)
}

// savedEngine is the state within a unit.
type savedEngine struct {
	sys     saved
	views   []viewState
	forking *forkCall
	epoch   uint32
}

func (e *engine) save() savedEngine {
	s := savedEngine{sys: e.sys.save(), views: make([]viewState, len(e.views)), forking: e.forking, epoch: e.epoch}
	for i, v := range e.views {
		v.length = v.draft.Length()
		s.views[i] = v.viewState
	}
	return s
}

func (e *engine) restore(ctx context.Context, s savedEngine) error {
	e.sys.restore(s.sys)
	e.forking = s.forking
	e.useEpoch(s.epoch)
	for i, v := range e.views {
		if err := v.cut(ctx, s.views[i].length); err != nil {
			return err
		}
		v.viewState = s.views[i]
	}
	return nil
}

// call runs the application on nodes. If it refuses them, what it did is taken
// back: every peer that runs the same application comes to the same result.
func (e *engine) call(ctx context.Context, nodes []Node) (ok bool, err error) {
	before := e.save()
	last := nodes[len(nodes)-1]
	h := &Host{e: e, ctx: ctx, last: oplog.Ref{Key: last.From, Length: last.Length}}
	missed := e.misses
	err = e.run(ctx, nodes, h)
	h.done = true
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case e.misses > missed && !short(err):
		return false, &hypercore.MissingError{Key: e.missed.Core, Block: e.missed.Block} // whatever Apply made of it
	case h.failed != nil:
		return false, h.failed
	case fatal(err):
		return false, fmt.Errorf("apply node %d of log %s: %w", nodes[0].Length, nodes[0].From, err)
	case err != nil:
		e.refused = err
		return false, e.restore(ctx, before)
	}
	e.note = h.note
	return true, nil
}

// fatal tells whether apply failed for a reason that other peers do not have.
func fatal(err error) bool {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded, hypercore.ErrClosed, hypercore.ErrNotAvailable, hypercore.ErrDecrypt} {
		if errors.Is(err, cause) {
			return true
		}
	}
	var errno syscall.Errno // the disk
	return errors.As(err, &errno) || errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrFailed) || full(err)
}

func (e *engine) run(ctx context.Context, nodes []Node, h *Host) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("apply panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return e.apply(ctx, nodes, h)
}

// flush ends a unit. The values of removed indexers are ignored; what they have seen counts
// until others have taken over.
func (e *engine) flush(ctx context.Context, nodes []*linearizer.Node, ignored bool) error {
	s := e.sys
	updated, linked, members := s.updated, s.linked, len(s.changes) > 0
	if updated {
		if err := e.nextViews(ctx); err != nil {
			return err
		}
	}
	e.mapViews()
	if _, err := s.flush(ctx); err != nil {
		return err
	}
	if updated {
		// What the next epoch begins with.
		if err := e.readFirst(ctx, s.tree); err != nil {
			return err
		}
	}
	u := unit{nodes: make([]*node, len(nodes)), after: e.here(), linked: linked, updated: updated, members: members}
	for i, l := range nodes {
		u.nodes[i] = l.Value.(*node)
	}
	e.applied = append(e.applied, u)
	for _, n := range u.nodes {
		e.visible(n, u.after, ignored)
	}
	return nil
}

// Node is a value that Apply gets.
type Node struct {
	// From is the key of the writer's log, Length that of the log with this node.
	From   hypercrypto.Key
	Length uint64
	Value  []byte
	// Heads are the nodes that the writer had seen.
	Heads []Ref
	// Optimistic nodes are by somebody who is no member; see [Host.AckWriter].
	Optimistic bool
}

// Ref names a node: the key of its log and the log's length with it.
type Ref = oplog.Ref

func (n *node) public() Node {
	return Node{From: n.Key, Length: n.Length, Value: n.block.Value, Heads: n.block.Heads, Optimistic: n.block.Optimistic}
}
