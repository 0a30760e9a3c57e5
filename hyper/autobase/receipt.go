package autobase

import (
	"context"
	"sync"

	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// Receipt follows the effect of one appended value.
type Receipt struct {
	ref oplog.Ref

	visible, confirmed, signed chan struct{}

	mu      sync.Mutex // guards what follows
	seen    bool
	outcome Outcome
	first   Outcome
	at      uint64 // length of the confirmed system view with the node
}

// Outcome is what became of an appended value.
type Outcome struct {
	// Err is why Apply refused the value; nil if it took it.
	Err error
	// Ignored: the value did not count, because its writer was no member at its
	// place in the order.
	Ignored bool
	// Note is what Apply left for the writer; see [Host.Note].
	Note []byte
	// Changed: the tip was put in another order and the value had another outcome
	// before: it was refused and is not any more, or the other way round, or left
	// another note.
	Changed bool
	// Confirmed: the place in the order is final. Signed: a quorum of the indexers
	// signed it.
	Confirmed, Signed bool
}

func newReceipt() *Receipt {
	return &Receipt{visible: make(chan struct{}), confirmed: make(chan struct{}), signed: make(chan struct{})}
}

// Ref returns which node has the value. It is known when Append returns.
func (r *Receipt) Ref() Ref { return r.ref }

// Visible is closed when the views of this device have the effect of the value.
func (r *Receipt) Visible() <-chan struct{} { return r.visible }

// Confirmed is closed when the place of the value in the order is final, and
// with that its outcome.
func (r *Receipt) Confirmed() <-chan struct{} { return r.confirmed }

// Signed is closed when a quorum of the indexers has signed views with the
// effect of the value.
func (r *Receipt) Signed() <-chan struct{} { return r.signed }

// Outcome returns what became of the value so far.
func (r *Receipt) Outcome() Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcome
}

// Wait waits until the value is confirmed and returns its outcome.
func (r *Receipt) Wait(ctx context.Context) (Outcome, error) {
	select {
	case <-r.confirmed:
		return r.Outcome(), nil
	case <-ctx.Done():
		return r.Outcome(), ctx.Err()
	}
}

func (r *Receipt) set(o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Confirmed, o.Signed = r.outcome.Confirmed, r.outcome.Signed
	if !r.seen {
		r.seen, r.first = true, o
		close(r.visible)
	}
	o.Changed = (o.Err == nil) != (r.first.Err == nil) || o.Ignored != r.first.Ignored || string(o.Note) != string(r.first.Note)
	r.outcome = o
}

// visible tells the writer of a node that it was applied, and the application what was
// ignored.
func (e *engine) visible(n *node, p *point, ignored bool) {
	if e.refused != nil && n.block.Batch == 1 {
		e.emit(Event{Type: EventRefused, Key: n.Key, Length: n.Length, Err: e.refused})
	}
	if ignored && e.ignored != nil && n.block.Value != nil {
		e.ignored(n.Key, n.block.Value)
	}
	if r := e.receipts[n.Ref]; r != nil {
		r.set(Outcome{Err: e.refused, Ignored: ignored, Note: e.note})
	}
}

// confirmed tells the writers of a unit's nodes that it is final.
func (e *engine) confirmed(u *unit) {
	for _, n := range u.nodes {
		r := e.receipts[n.Ref]
		if r == nil {
			continue
		}
		r.mu.Lock()
		if !r.outcome.Confirmed {
			r.outcome.Confirmed = true
			r.at = u.after.length
			close(r.confirmed)
		}
		r.mu.Unlock()
	}
}

// settleReceipts tells writers what is signed.
func (e *engine) settleReceipts() {
	for k, r := range e.receipts {
		r.mu.Lock()
		done := r.outcome.Confirmed && r.at <= e.signed
		if done {
			r.outcome.Signed = true
			close(r.signed)
		}
		r.mu.Unlock()
		if done {
			delete(e.receipts, k)
		}
	}
}

// landReceipts settles those of nodes that are part of a state which the base
// jumped to.
func (e *engine) landReceipts() {
	for k, r := range e.receipts {
		if k.Length > e.byKey[k.Key].offset {
			continue
		}
		r.mu.Lock()
		if !r.seen {
			r.seen = true
			close(r.visible)
		}
		if !r.outcome.Confirmed {
			r.outcome.Confirmed = true
			close(r.confirmed)
		}
		r.at = e.signed
		r.mu.Unlock()
	}
}
