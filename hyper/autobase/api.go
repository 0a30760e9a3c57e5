package autobase

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// request is a call that writes, waiting for its turn.
type request struct {
	entry
	done chan struct{}
	err  error
}

// Append writes values to the own log as one append, which is applied as a
// whole, and returns when that is durable and applied here. The receipts say what
// becomes of each value. Calls from several goroutines share a write.
//
// Errors: [ErrNotMember] unless this device is a member, [ErrEmpty], [ErrMissing]. If
// ctx ends after the values were written, while blocks are missing that it takes to
// apply them, its error is returned with the receipts.
func (b *Base) Append(ctx context.Context, values ...[]byte) ([]*Receipt, error) {
	r, err := newRequest(values)
	if err != nil || r == nil {
		return nil, err
	}
	return r.receipts, b.submit(ctx, r)
}

func newRequest(values [][]byte) (*request, error) {
	if len(values) == 0 {
		return nil, nil
	}
	r := &request{done: make(chan struct{})}
	for _, v := range values {
		if len(v) == 0 {
			return nil, ErrEmpty
		}
		r.values = append(r.values, slices.Clone(v))
		r.receipts = append(r.receipts, newReceipt())
	}
	if len(values) > maxBatch {
		return nil, fmt.Errorf("autobase: %d values in one append, %d are possible", len(values), maxBatch)
	}
	return r, nil
}

// AppendOptimistic writes a value also if this device is no member: it has an
// effect only if Apply takes it; see [Host.AckWriter].
func (b *Base) AppendOptimistic(ctx context.Context, value []byte) (*Receipt, error) {
	if len(value) == 0 {
		return nil, ErrEmpty
	}
	r := &request{done: make(chan struct{})}
	r.values, r.receipts, r.optimistic = [][]byte{slices.Clone(value)}, []*Receipt{newReceipt()}, true
	return r.receipts[0], b.submit(ctx, r)
}

// Ack writes an empty node, by which an indexer says what it has seen and signs
// what is confirmed. It does nothing if this device is no indexer.
func (b *Base) Ack(ctx context.Context) error {
	r := &request{done: make(chan struct{})}
	r.values = [][]byte{nil}
	return b.submit(ctx, r)
}

// submit writes a request, as soon as no blocks are missing for that, and waits until
// it is applied.
func (b *Base) submit(ctx context.Context, r *request) error {
	var late <-chan time.Time
	for {
		err := b.submitNow(ctx, r)
		if err == nil {
			return b.awaitApplied(ctx, r)
		}
		if !errors.Is(err, ErrMissing) {
			return err
		}
		if late == nil {
			t := time.NewTimer(missingTime)
			defer t.Stop()
			late = t.C
		}
		for changed := b.whileStuck(); changed != nil; changed = b.whileStuck() {
			select {
			case <-changed:
			case <-late:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r.done, r.err = make(chan struct{}), nil
	}
}

// whileStuck returns what is closed with the next change, nil if the base is not stuck.
func (b *Base) whileStuck() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.usable() != nil || !b.e.stuck() {
		return nil
	}
	return b.changed
}

// awaitApplied waits until what was written is applied, if blocks are missing for that.
func (b *Base) awaitApplied(ctx context.Context, r *request) error {
	for _, x := range r.receipts {
		for !isClosed(x.visible) {
			changed := b.whileStuck()
			if changed == nil {
				return nil // it waits for something else
			}
			select {
			case <-x.visible:
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// submitNow waits for its turn and writes everything that waits.
func (b *Base) submitNow(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.queueMu.Lock()
	b.queue = append(b.queue, r)
	b.queueMu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-r.done: // somebody else's turn wrote it
		return r.err
	default:
	}
	b.queueMu.Lock()
	all := b.queue
	b.queue = nil
	b.queueMu.Unlock()
	b.writeAll(all)
	return r.err
}

// writeAll writes requests as one change. b.mu is held.
func (b *Base) writeAll(all []*request) {
	finish := func(err error) {
		for _, r := range all {
			select {
			case <-r.done:
			default:
				if r.err == nil && !r.written {
					r.err = err
				}
				close(r.done)
			}
		}
	}
	if err := b.usable(); err != nil {
		finish(err)
		return
	}
	stumble := func(err error) {
		b.stumble(err)
		if b.failed == nil {
			if err := b.advance(b.here); err != nil {
				b.stumble(err)
			}
		}
		finish(err)
	}
	e := b.e
	if err := b.advance(b.here); err != nil {
		stumble(err)
		return
	}
	var entries []*entry
	acked := false
	for _, r := range all {
		if err := b.permit(r); err != nil {
			r.err = err
			continue
		}
		if r.values[0] == nil {
			if acked || !e.ackable() || e.stuck() {
				continue
			}
			acked = true
		}
		entries = append(entries, &r.entry)
	}
	if len(entries) == 0 {
		finish(nil)
		return
	}
	rewound := false
	for some := range byEpoch(entries) {
		if rewound {
			if err := b.advance(b.here); err != nil {
				stumble(err)
				return
			}
		}
		if err := e.write(b.here, some); err != nil {
			stumble(err)
			return
		}
		rewound = e.rewound
	}
	after := b.settle
	if rewound {
		after = b.advance
	}
	if err := after(b.here); err != nil {
		stumble(err)
		return
	}
	finish(nil)
}

// permit tells whether a request may be written.
func (b *Base) permit(r *request) error {
	if b.e.stuck() && r.values[0] != nil {
		return ErrMissing
	}
	anybody := r.optimistic && b.opts.Optimistic || r.values[0] == nil
	if !anybody {
		ok, err := b.e.writable(b.here)
		if err == nil && !ok {
			return ErrNotMember
		}
		if short(err) {
			return ErrMissing
		}
		if err != nil {
			return err
		}
	}
	return b.e.mayWrite(anybody)
}

// Update takes in everything that the logs have here, and returns the position.
// The base does so by itself, shortly after blocks arrive.
func (b *Base) Update(ctx context.Context) (Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return Position{}, err
	}
	if err := b.advance(b.here); err != nil {
		b.stumble(err)
		return Position{}, err
	}
	return b.last, nil
}

// Position returns how far the base is.
func (b *Base) Position() Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// WaitChange waits until the position is another than p, and returns it.
func (b *Base) WaitChange(ctx context.Context, p Position) (Position, error) {
	for {
		b.mu.Lock()
		last, changed, err := b.last, b.changed, b.usable()
		b.mu.Unlock()
		if err != nil || last != p {
			return last, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// WaitWritable waits until this device is a member.
func (b *Base) WaitWritable(ctx context.Context) error {
	for {
		b.mu.Lock()
		ok, changed, err := b.writable, b.changed, b.usable()
		b.mu.Unlock()
		if err != nil || ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Err returns why the base stopped, nil while it runs. An error that wraps
// [ErrInterrupted] is the application's wish.
func (b *Base) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.usable()
}

// Key returns the key of the base: that of the first writer's log. Who knows it,
// and the encryption key, can read the base.
func (b *Base) Key() hypercrypto.Key { return b.e.lineage.base }

// LocalKey returns the key of the own log, which a member has to add.
func (b *Base) LocalKey() hypercrypto.Key { return *b.local.Load() }

// EncryptionKey returns the key of an encrypted base, nil of one in clear.
func (b *Base) EncryptionKey() *hypercrypto.EncryptionKey {
	if b.e.lineage.encryption == nil {
		return nil
	}
	k := *b.e.lineage.encryption
	return &k
}

// Status is what a base knows of itself.
type Status struct {
	Position
	System   hypercrypto.Key // core of the system view
	Hash     hypercrypto.Hash
	Writable bool
	Members  uint64
	Indexers []Ref
	// Pending are those who become indexers with their first node.
	Pending []hypercrypto.Key
	Heads   []Ref
	Views   []ViewStatus
	// Epoch is that of the keys in force. Missing are epochs whose keys it takes to
	// read all that is here; if Locked, to go on at all.
	Epoch   uint32
	Missing []uint32
	Locked  bool
	// Needs are blocks that have to come from peers before the base goes on. Filling
	// tells that others, which nothing has asked for yet, are missing, too, after a jump.
	Needs   []Need
	Filling bool
	// Frozen are logs that break the rules.
	Frozen map[hypercrypto.Key]error
}

// ViewStatus is the state of a view.
type ViewStatus struct {
	Name           string
	Key            hypercrypto.Key
	Length, Signed uint64
	Hash           hypercrypto.Hash
}

// Status returns the present state of the base.
func (b *Base) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.e
	info := cloneInfo(&e.sys.info)
	s := Status{
		Position: b.last, System: e.system.Key(), Hash: e.sys.draft.TreeHash(), Writable: b.writable,
		Members: info.Members, Indexers: info.Indexers, Pending: info.Pending, Heads: info.Heads,
		Epoch: e.epoch, Missing: e.missingKeys(), Locked: e.locked != nil, Frozen: make(map[hypercrypto.Key]error),
	}
	for _, v := range e.views {
		s.Views = append(s.Views, ViewStatus{Name: v.name, Key: v.under.Key(), Length: v.draft.Length(), Hash: v.draft.TreeHash(), Signed: v.under.Length()})
	}
	for n := range e.needs {
		s.Needs = append(s.Needs, n)
	}
	s.Filling = len(e.fills) > 0
	for _, w := range e.writers {
		if w.frozen != nil {
			s.Frozen[w.key] = w.frozen
		}
	}
	return s
}

// System returns a handle on the signed system core. Close it.
func (b *Base) System() (*hypercore.Core, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.e.system.Session(&hypercore.SessionOptions{ReadOnly: true, Passive: true})
}

// ackInBackground acknowledges what others wrote, at random times so that not all
// indexers do so at once.
func (b *Base) ackInBackground() {
	for {
		d := b.opts.AckInterval + time.Duration(rand.Int64N(int64(b.opts.AckInterval)+1))
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-b.ctx.Done():
			t.Stop()
			return
		}
		b.mu.Lock()
		if b.usable() == nil && !b.e.stuck() && b.e.ackNeeded() {
			r := &request{done: make(chan struct{})}
			r.values = [][]byte{nil}
			b.writeAll([]*request{r})
		}
		b.mu.Unlock()
	}
}
