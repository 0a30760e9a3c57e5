package autobase

import (
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/linearizer"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// engine computes the state of a base from the logs. It is not safe for
// concurrent use.
type engine struct {
	store      *corestore.Store
	lineage    *lineage
	optimistic bool
	apply      func(ctx context.Context, nodes []Node, h *Host) error
	emit       func(Event)
	wake       func() // called from anywhere when a log may have news
	later      func() // looks again when there may be room on the disk
	peek       func(log hypercrypto.Key, value []byte)
	ignored    func(log hypercrypto.Key, value []byte)

	local *writer

	writers []*writer
	byKey   map[hypercrypto.Key]*writer
	strange int // of them, opened because somebody who is no member named them

	sys    *system
	system *hypercore.Core // what sys.draft lies on
	views  []*view
	keys   keyChain

	indexers []hypercrypto.Key // of the epoch
	lin      *linearizer.Linearizer
	heads    []oplog.Ref        // nodes without a successor among those that were loaded
	applied  []unit             // the tip
	indexed  *point             // the confirmed state
	due      []*linearizer.Node // confirmed nodes that are not part of it yet
	epoch    uint32             // of keys, as the state has it
	locked   *lock              // the key that the order waits for
	signed   uint64             // length of the system view that is signed

	eager      bool        // Apply prefers a jump, however short
	held       bool        // nodes are neither fetched nor loaded
	scratch    bool        // nothing is written but what is there already
	forking    *forkCall   // what Apply asked for in this update
	confirming bool        // what is applied now is confirmed
	passed     []passed    // nodes of the epoch that are confirmed without being part of the state
	writing    bool        // own nodes were entered that are not in the log yet
	booted     []byte      // boot record that counts once they are
	rewound    bool        // nodes that were loaded before have to be again
	regressed  bool        // the state lacks what it had, until blocks come
	applyStuck bool        // a node is not applied for want of blocks
	loadStuck  bool        // an own node is not loaded for want of blocks
	again      *bootRecord // of a restart without an end
	valuedAt   uint64      // length of the system view with the last confirmed value

	misses      int                   // reads of blocks that are missing
	missed      Need                  // the last of them
	needs       map[Need]struct{}     // blocks that are fetched ahead of others
	fills       []fill                // what else is missing
	membersLeft bool                  // not all records of members could be read
	seek        func(Need)            // fetches a block
	await       func(<-chan struct{}) // looks again when a channel is closed

	receipts map[oplog.Ref]*Receipt // of own nodes that are not confirmed
	refused  error                  // why the last apply had no effect
	note     []byte                 // what the last apply left for the writer
}

// unit are nodes that are applied together: one append, or a node that is left
// out.
type unit struct {
	nodes   []*node
	after   *point
	linked  []oplog.Ref // what became part of the base
	updated bool        // the indexers changed
	members bool        // somebody was added or removed
}

// valued tells whether the unit has values, which were not left out.
func (u *unit) valued() bool {
	return len(u.linked) > 0 && slices.ContainsFunc(u.nodes, func(n *node) bool { return n.block.Value != nil })
}

// begin starts an epoch at the present state, which is confirmed, and enters all
// nodes that are not part of it.
func (e *engine) begin(ctx context.Context) error {
	e.indexed, e.applied, e.due = e.here(), nil, nil
	info := &e.indexed.info
	e.indexers = e.indexers[:0]
	for _, r := range info.Indexers {
		e.indexers = append(e.indexers, r.Key)
	}
	if len(e.indexers) == 0 {
		e.indexers = append(e.indexers, e.lineage.base)
	}
	confirmed := make([]linearizer.Ref, len(info.Heads))
	for i, h := range info.Heads {
		confirmed[i] = linearizer.Ref(h)
	}
	e.lin = linearizer.New(e.indexers, confirmed)
	e.heads = slices.Clone(info.Heads)
	for _, k := range e.indexers {
		if _, err := e.writer(ctx, k); err != nil {
			return err
		}
	}
	for _, h := range info.Heads {
		if _, err := e.writer(ctx, h.Key); err != nil {
			return err
		}
	}
	for _, w := range e.writers {
		e.lin.Start(w.key, max(w.offset, w.passed))
		w.given = w.offset
	}
	_, err := e.enterLoaded()
	return err
}

// enterLoaded enters the nodes that were loaded and follow those that were
// entered, and tells whether there are any.
func (e *engine) enterLoaded() (any bool, err error) {
	for again := true; again; {
		again = false
		for _, w := range e.writers {
			for w.given < w.length() {
				n := w.nodes[w.given-w.offset]
				if !e.ready(n) {
					break
				}
				if err := e.enter(n); err != nil {
					return false, err
				}
				again, any = true, true
			}
		}
	}
	return any, nil
}

// ready tells whether everything that a node refers to was entered.
func (e *engine) ready(n *node) bool {
	for _, h := range n.block.Heads {
		if w := e.byKey[h.Key]; h.Key != n.Key && w != nil && w.given < h.Length {
			return false
		}
	}
	return true
}

// enter adds the next node of a writer to the order.
func (e *engine) enter(n *node) error {
	if n.Length <= n.w.passed {
		n.w.given++
		return nil
	}
	if err := e.lin.Add(e.inOrder(n)); err != nil {
		return err
	}
	n.w.given++
	e.heads = slices.DeleteFunc(e.heads, func(h oplog.Ref) bool {
		return h.Key == n.Key && h.Length < n.Length || slices.Contains(n.block.Heads, h)
	})
	e.heads = append(e.heads, n.Ref)
	return nil
}

// update puts all nodes in order and applies what changed.
func (e *engine) update(ctx context.Context) error {
	e.applyStuck = false
	for {
		e.forking = nil
		confirmed, tip := e.lin.Update()
		e.due = append(e.due, confirmed...)
		e.confirming = true
		stopped, err := e.reconcile(ctx, e.due)
		e.confirming = false
		if err != nil {
			return err
		}
		if e.forking != nil {
			if err := e.fork(ctx); err != nil {
				return fmt.Errorf("fork the base: %w", err)
			}
			continue
		}
		n := len(e.due)
		if stopped {
			// What becomes of a node that is left out shows with all that is confirmed
			// together. No epoch ended, or it would not have come to the node that waits.
			n = 0
		}
		ended, err := e.confirm(ctx, n)
		if err != nil {
			return err
		}
		if ended {
			if err := e.migrate(ctx); err != nil {
				return err
			}
			continue
		}
		e.due = append([]*linearizer.Node(nil), e.due[n:]...)
		if stopped {
			return nil
		}
		if stopped, err = e.reconcile(ctx, tip); err != nil {
			return err
		}
		if !stopped {
			e.unlock()
			e.applyStuck, e.regressed = false, false
		}
		if e.forking != nil {
			if err := e.fork(ctx); err != nil {
				return fmt.Errorf("fork the base: %w", err)
			}
			continue
		}
		return e.cutTip(ctx, len(tip))
	}
}

// reconcile makes the given nodes the first that are applied. What is applied
// already in this order stays. Nodes that are confirmed are applied up to the end of
// the epoch: all others belong to the next one. It stops before a node that needs a
// key which is not known, or blocks that are missing; the state is that before this node
// then.
func (e *engine) reconcile(ctx context.Context, nodes []*linearizer.Node) (stopped bool, err error) {
	u := 0
	for u < len(e.applied) && len(nodes) > 0 {
		un := e.applied[u].nodes
		if len(un) > len(nodes) || !slices.EqualFunc(un, nodes[:len(un)], func(n *node, l *linearizer.Node) bool { return n.lin == l }) {
			break
		}
		nodes, u = nodes[len(un):], u+1
		if e.confirming && e.applied[u-1].updated {
			return false, nil
		}
	}
	if len(nodes) == 0 {
		return false, nil
	}
	fewer := u < len(e.applied)
	if err := e.undo(ctx, u); err != nil {
		return false, err
	}
	for len(nodes) > 0 {
		if e.waits(nodes[0]) {
			return true, nil
		}
		forking := e.forking
		n, err := e.applyNext(ctx, nodes)
		if epoch, ok := e.lacks(err); ok {
			e.forking = forking
			e.lock(nodes[0], epoch)
			return true, e.back(ctx, e.reached())
		}
		if short(err) {
			e.forking = forking
			e.applyStuck, e.regressed = true, e.regressed || fewer
			return true, e.back(ctx, e.reached())
		}
		if err != nil {
			return false, err
		}
		nodes = nodes[n:]
		if e.confirming && e.applied[len(e.applied)-1].updated {
			return false, nil
		}
	}
	return false, nil
}

// reached returns the state after all that is applied.
func (e *engine) reached() *point {
	if n := len(e.applied); n > 0 {
		return e.applied[n-1].after
	}
	return e.indexed
}

// undo takes back all but the first u applied units.
func (e *engine) undo(ctx context.Context, u int) error {
	if u == len(e.applied) {
		return nil
	}
	p := e.indexed
	if u > 0 {
		p = e.applied[u-1].after
	}
	e.applied = e.applied[:u]
	return e.back(ctx, p)
}

// cutTip takes back what is applied after the first n nodes.
func (e *engine) cutTip(ctx context.Context, n int) error {
	for u := range e.applied {
		if n <= 0 {
			return e.undo(ctx, u)
		}
		n -= len(e.applied[u].nodes)
	}
	return nil
}

// confirm takes the first n applied nodes as final, up to the first that changes
// the indexers. It tells whether there is one; then all else is taken back.
func (e *engine) confirm(ctx context.Context, n int) (ended bool, err error) {
	u := 0
	var p passing
	for n > 0 && !ended {
		x := &e.applied[u]
		p.see(x, e.indexed.length)
		n -= len(x.nodes)
		e.indexed = x.after
		for _, r := range x.linked {
			if w := e.byKey[r.Key]; w != nil {
				w.drop(r.Length)
			}
		}
		e.confirmed(x)
		if x.valued() {
			e.valuedAt = x.after.length
		}
		ended = x.updated
		u++
	}
	if ended {
		if err := e.undo(ctx, u); err != nil {
			return false, err
		}
	} else {
		e.pass(&p)
	}
	e.applied = slices.Delete(e.applied, 0, u)
	return ended, nil
}

// migrate moves the base to the cores of a new epoch and begins it.
func (e *engine) migrate(ctx context.Context) error {
	s, err := e.signers(ctx, e.sys.info.Indexers)
	if err != nil {
		return err
	}
	for _, v := range e.views {
		core, err := e.viewCore(ctx, v.name, v.manifest)
		if err != nil {
			return err
		}
		if err := v.draft.Rebase(ctx, core); err != nil {
			return fmt.Errorf("migrate view %q: %w", v.name, err)
		}
		v.under.Close()
		v.under, v.manifest = core, nil
	}
	var linked []hypercrypto.Key
	keys := e.keys.core
	if keys != nil {
		// The format has it that the core of the epoch before is named.
		linked = append(linked, keys.Key())
		if keys, err = e.keyCore(ctx, s, e.keys.entropies, e.userData(keys)); err != nil {
			return err
		}
		e.keys.core.Close()
		e.keys.core = keys
	}
	length := e.sys.draft.Length()
	m := e.lineage.manifest(systemName, s, hypercrypto.TreeState{Hash: e.sys.draft.TreeHash(), Length: length}, linked, e.userData(e.sys.draft))
	core, err := e.viewCore(ctx, systemName, m)
	if err != nil {
		return err
	}
	if err := e.sys.draft.Rebase(ctx, core); err != nil {
		return fmt.Errorf("migrate the system view: %w", err)
	}
	if err := e.setSystem(core, length); err != nil {
		return err
	}
	e.emit(Event{Type: EventEpoch})
	if err := e.fillIn(ctx); err != nil {
		return err
	}
	return e.begin(ctx)
}
