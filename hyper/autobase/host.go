package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

var (
	// ErrInterrupted: Apply met something that this version of the application
	// does not know, and stopped the base; see [Host.Interrupt].
	ErrInterrupted = errors.New("autobase: interrupted")
	// ErrLastIndexer: the only indexer cannot be removed.
	ErrLastIndexer = errors.New("autobase: the last indexer cannot be removed")
	errHostGone    = errors.New("autobase: host used after apply returned")
)

// Host lets Apply change the base itself. It is valid during the call only, and
// what it does is part of the state: it must depend on nothing but the nodes and
// the views.
type Host struct {
	e      *engine
	ctx    context.Context
	done   bool
	failed error
	note   []byte
	last   oplog.Ref // of the nodes
}

func (h *Host) do(fn func() error) error {
	if h.done {
		return errHostGone
	}
	if h.failed != nil {
		return h.failed
	}
	err := fn()
	if err != nil && !errors.Is(err, ErrLastIndexer) && !errors.Is(err, ErrEpoch) {
		h.failed = err
	}
	return err
}

// AddWriter makes the owner of a log a member. An indexer takes part in
// confirming and signing from its first node on. A member can be promoted or, by
// indexer false, demoted; the error is [ErrLastIndexer] for the only indexer.
func (h *Host) AddWriter(log hypercrypto.Key, indexer bool) error {
	return h.do(func() error {
		if !indexer && !h.e.removable(log) {
			return fmt.Errorf("%w: %s", ErrLastIndexer, log)
		}
		if err := h.e.sys.add(h.ctx, log, indexer); err != nil {
			return err
		}
		_, err := h.e.writer(h.ctx, log)
		return err
	})
}

// RemoveWriter ends the membership of the owner of a log: what it writes from
// here on has no effect. The error is [ErrLastIndexer] for the only indexer.
func (h *Host) RemoveWriter(log hypercrypto.Key) error {
	return h.do(func() error {
		if !h.e.removable(log) {
			return fmt.Errorf("%w: %s", ErrLastIndexer, log)
		}
		return h.e.sys.remove(h.ctx, log)
	})
}

// AckWriter takes an optimistic node of somebody who is no member, and does not
// make them one.
func (h *Host) AckWriter(log hypercrypto.Key) error {
	return h.do(func() error { return h.e.sys.ack(h.ctx, log) })
}

// Removable tells whether RemoveWriter is possible.
func (h *Host) Removable(log hypercrypto.Key) bool { return h.e.removable(log) }

func (e *engine) removable(log hypercrypto.Key) bool {
	return len(e.sys.info.Indexers) != 1 || e.sys.info.Indexers[0].Key != log
}

// Interrupt stops the base on this machine, for nodes that only a newer version
// of the application understands. The node is not applied; a new version goes on
// with it.
func (h *Host) Interrupt(reason string) error {
	return h.do(func() error { return fmt.Errorf("%w: %s", ErrInterrupted, reason) })
}

// PreferForward makes the base jump to the newest signed state that peers have
// after this call of Apply, even if that is only one block ahead. It is no part of
// the state.
func (h *Host) PreferForward() {
	if !h.done {
		h.e.eager = true
	}
}

// Note leaves something for the writer of the nodes, who finds it in the
// [Outcome] of the append. It is not part of the state.
func (h *Host) Note(b []byte) {
	if !h.done {
		h.note = append([]byte(nil), b...)
	}
}
