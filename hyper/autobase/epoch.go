package autobase

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/linearizer"
)

var (
	// ErrLocked: this device lacks a key of the ring without which it does not know
	// the newest state; see [Base.KeysChanged].
	ErrLocked = errors.New("autobase: a key is missing")
	// ErrEpoch: no epoch follows another one under the number 0.
	ErrEpoch = errors.New("autobase: epoch 0 comes before all others")

	errNoRing = errors.New("autobase: the base has no keys of epochs")
)

// lock is the key that it takes to apply a node after what was applied before. After
// something else the node may be one that needs no key.
type lock struct {
	node  *node
	epoch uint32
	after *point
}

// SetKeyEpoch makes an epoch of keys the one in force: all blocks that are added to
// views from this call on, those of this very call of Apply and the system view
// included, are encrypted with its key, on all peers the same. So are nodes that a
// device writes once it applied the call; the node that the call is made for is
// not, and can bring the key to those who are to have it, sealed for each of them.
// Apply may put the key into the ring before the call.
//
// If the ring does not have the key the base stays at the state before the node,
// until it does; see [Base.KeysChanged]. The error is [ErrEpoch] for epoch 0.
//
// An epoch must be new, and its key random: who knows the keys of the epochs
// before can read nothing of it.
func (h *Host) SetKeyEpoch(epoch uint32) error {
	return h.do(func() error {
		l := h.e.lineage
		switch {
		case l.ring == nil:
			return errNoRing
		case epoch == 0:
			return ErrEpoch
		}
		if _, ok := l.ring.Key(epoch); !ok {
			return &hypercrypto.UnknownKeyError{Epoch: epoch}
		}
		h.e.useEpoch(epoch)
		return nil
	})
}

// KeyEpoch returns the epoch of keys that is in force in the state of this device,
// 0 before the first. It may be called anywhere.
func (b *Base) KeyEpoch() uint32 { return b.e.lineage.epoch.Load() }

// KeysChanged says that the ring has more keys, so that the base goes on where one
// was missing. It may be called anywhere.
//
// A node that is encrypted with a key which the ring does not have counts as not
// here yet, and so do all that follow it, but nothing else. Values are refused
// with [ErrLocked] only if the key in force is missing, as they would be readable
// for those who have the same keys.
func (b *Base) KeysChanged() {
	b.learned.Store(true)
	b.poke()
}

// AppendIn is [Base.Append] for values that are to be readable for those who have the
// key of an epoch and not the one in force, 0 for those who have the key of the base
// only. They read them by [Options.Peek].
func (b *Base) AppendIn(ctx context.Context, epoch uint32, values ...[]byte) ([]*Receipt, error) {
	if epoch != 0 {
		if r := b.e.lineage.ring; r == nil {
			return nil, errNoRing
		} else if _, ok := r.Key(epoch); !ok {
			return nil, &hypercrypto.UnknownKeyError{Epoch: epoch}
		}
	}
	r, err := newRequest(values)
	if err != nil || r == nil {
		return nil, err
	}
	r.epoch = &epoch
	return r.receipts, b.submit(ctx, r)
}

// byEpoch splits entries into those that are written with one key.
func byEpoch(entries []*entry) iter.Seq[[]*entry] {
	return func(yield func([]*entry) bool) {
		for len(entries) > 0 {
			n := slices.IndexFunc(entries, func(x *entry) bool { return x.epoch != entries[0].epoch })
			if n < 0 {
				n = len(entries)
			}
			if !yield(entries[:n]) {
				return
			}
			entries = entries[n:]
		}
	}
}

// lacks returns the epoch whose key is missing if that is why err is.
func (e *engine) lacks(err error) (epoch uint32, ok bool) {
	var u *hypercrypto.UnknownKeyError
	if e.lineage.ring == nil || !errors.As(err, &u) {
		return 0, false
	}
	return u.Epoch, true
}

func (e *engine) useEpoch(epoch uint32) {
	e.epoch = epoch
	e.lineage.epoch.Store(epoch)
}

// readEpoch makes the epoch of a version of the system view the one in force: the
// last block of every version is encrypted in it.
func (e *engine) readEpoch(ctx context.Context, length uint64) error {
	if e.lineage.ring == nil {
		return nil
	}
	if length == 0 {
		e.useEpoch(0)
		return nil
	}
	b, err := e.sys.draft.GetRaw(ctx, length-1)
	if err != nil {
		return fmt.Errorf("read the epoch of keys: %w", err)
	}
	epoch, err := hypercrypto.BlockEpoch(e.lineage.viewKey(systemName), length-1, b)
	if err != nil {
		return fmt.Errorf("read the epoch of keys: %w", err)
	}
	e.useEpoch(epoch)
	return nil
}

// hasKey tells whether the ring has a key.
func (e *engine) hasKey(epoch uint32) bool {
	_, ok := e.lineage.ring.Key(epoch)
	return ok
}

// lock stops the order before a node.
func (e *engine) lock(n *linearizer.Node, epoch uint32) {
	l := &lock{n.Value.(*node), epoch, e.reached()}
	if e.locked == nil || e.locked.node != l.node || e.locked.epoch != epoch {
		e.emit(Event{Type: EventLocked, Key: l.node.Key, Length: l.node.Length, Epoch: epoch})
	}
	e.locked = l
}

func (e *engine) unlock() { e.locked = nil }

// waits tells whether a node still needs a key.
func (e *engine) waits(n *linearizer.Node) bool {
	return e.locked != nil && e.locked.node == n.Value.(*node) && e.locked.after == e.reached() && !e.hasKey(e.locked.epoch)
}

// lockLog stops loading a log before the node at index at.
func (e *engine) lockLog(w *writer, at uint64, epoch uint32) {
	w.locked = epoch
	e.emit(Event{Type: EventLocked, Key: w.key, Length: at + 1, Epoch: epoch})
}

// lockedLog tells whether a log still needs a key.
func (e *engine) lockedLog(w *writer) bool {
	if w.locked != 0 && e.hasKey(w.locked) {
		w.locked = 0
	}
	return w.locked != 0
}

// peekAll shows the values that wait for a key, some megabytes at a time.
func (e *engine) peekAll() {
	if e.peek == nil || len(e.missingKeys()) == 0 {
		return
	}
	budget := preload
	for _, w := range e.writers {
		if w.frozen != nil {
			continue
		}
		from := w.length()
		if e.locked != nil {
			from = w.offset // also what is loaded waits
		}
		for w.peeked = max(w.peeked, from); w.peeked < w.core.Length(); w.peeked++ {
			b, err := e.block(w, w.peeked)
			if errors.Is(err, hypercore.ErrNotAvailable) {
				break
			}
			if err != nil {
				continue
			}
			if len(b.Value) > 0 {
				e.peek(w.key, b.Value)
			}
			if budget -= nodeSize + len(b.Value); budget < 0 {
				e.wake()
				return
			}
		}
	}
}

// peekAgain makes what could not be read be tried once more.
func (e *engine) peekAgain() {
	for _, w := range e.writers {
		w.peeked = 0
	}
}

// missingKeys returns the epochs whose keys it takes to go on.
func (e *engine) missingKeys() (epochs []uint32) {
	if e.lineage.ring == nil {
		return nil
	}
	if e.locked != nil {
		epochs = append(epochs, e.locked.epoch)
	}
	for _, w := range e.writers {
		if e.lockedLog(w) {
			epochs = append(epochs, w.locked)
		}
	}
	slices.Sort(epochs)
	return slices.Compact(epochs)
}

// mayWrite tells whether this device may write: a member's value not while it lacks
// the key that is in force, and nothing while it cannot read its own log.
func (e *engine) mayWrite(anybody bool) error {
	switch missing := e.missingKeys(); {
	case len(missing) == 0:
	case e.locked != nil && !anybody:
		return fmt.Errorf("%w: %w", ErrLocked, &hypercrypto.UnknownKeyError{Epoch: e.locked.epoch})
	case e.local.length() < e.local.core.Length():
		return fmt.Errorf("%w: %w", ErrLocked, &hypercrypto.UnknownKeyError{Epoch: missing[0]})
	}
	return nil
}
