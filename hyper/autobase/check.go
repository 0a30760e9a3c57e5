package autobase

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

var (
	// ErrDiffers: the state computed from nothing is another one. Apply depends on
	// something else than its arguments.
	ErrDiffers = errors.New("autobase: a replay from nothing gives another state")
	// ErrIncomplete: old nodes are not held here, because the base jumped over
	// them.
	ErrIncomplete = errors.New("autobase: not all nodes are held")
)

// Check computes the state again from nothing, with a new instance of the
// application, and compares. The error is [ErrDiffers] if Apply is no function
// of its arguments, [ErrIncomplete] if old nodes are not held. The base waits
// meanwhile.
func (b *Base) Check(ctx context.Context, h Handlers) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	if err := b.advance(b.here); err != nil {
		b.fail(err)
		return err
	}
	e := &engine{
		store: b.store.Session(), lineage: b.e.lineage.again(), optimistic: b.e.optimistic, apply: h.Apply, scratch: true,
		emit: func(Event) {}, wake: func() {}, later: func() {}, byKey: make(map[hypercrypto.Key]*writer), local: b.e.local,
	}
	ctx = hypercore.WithoutPeers(ctx, e.miss)
	defer e.close()
	if err := e.replay(ctx, h, b.e); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	for _, w := range b.e.writers {
		if o := e.byKey[w.key]; w.given > 0 && (o == nil || o.given < w.given) {
			return fmt.Errorf("%w: of log %s", ErrIncomplete, w.key)
		}
	}
	if own, again := b.e.sys.draft, e.sys.draft; own.Length() != again.Length() || own.TreeHash() != again.TreeHash() {
		return fmt.Errorf("%w: system view of %d and %d blocks", ErrDiffers, own.Length(), again.Length())
	}
	for i, v := range b.e.views {
		if i >= len(e.views) || e.views[i].name != v.name || e.views[i].draft.TreeHash() != v.draft.TreeHash() {
			return fmt.Errorf("%w: view %q", ErrDiffers, v.name)
		}
	}
	return nil
}

// replay computes the state from nothing, of the logs that another engine knows.
func (e *engine) replay(ctx context.Context, h Handlers, of *engine) error {
	core, err := e.viewCore(ctx, systemName, e.lineage.manifest(systemName, &signers{}, hypercrypto.TreeState{}, nil, nil))
	if err != nil {
		return err
	}
	draft, err := core.Draft(0)
	if err != nil {
		core.Close()
		return err
	}
	e.sys, e.system = newSystem(draft), core
	v := &Views{e: e, ctx: ctx}
	if h.Open != nil {
		err = h.Open(v)
	}
	v.done = true
	if err := errors.Join(err, v.err); err != nil {
		return fmt.Errorf("open views: %w", err)
	}
	for _, w := range of.writers {
		if _, err := e.writer(ctx, w.key); err != nil {
			return err
		}
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	for {
		any, err := e.load(ctx)
		if err != nil || !any {
			return err
		}
		if err := e.update(ctx); err != nil {
			return err
		}
	}
}

// close gives back everything that is open.
func (e *engine) close() {
	for _, w := range e.writers {
		w.close()
	}
	e.stopFilling()
	for _, v := range e.views {
		if v.tree != nil {
			v.tree.Close()
		}
		v.draft.Close()
		v.under.Close()
	}
	e.keys.close()
	if e.sys != nil {
		e.sys.tree.Close()
		e.sys.draft.Close()
		e.system.Close()
	}
	e.store.Close()
}

// settled tells whether no change of membership is on its way: the last one is
// confirmed, and everybody it made an indexer has begun.
func (e *engine) settled() bool {
	changes := slices.ContainsFunc(e.applied, func(u unit) bool { return u.members })
	return !changes && len(e.sys.info.Pending) == 0
}

// ChangeMembers is Append for a value that makes Apply add or remove members. It
// waits until the change before is confirmed, and everybody who became an indexer
// has written: two changes at once can leave a base that nobody is able to
// confirm. All changes should come from one device.
func (b *Base) ChangeMembers(ctx context.Context, value []byte) (*Receipt, error) {
	for {
		b.mu.Lock()
		ok, changed, err := b.e.settled(), b.changed, b.usable()
		b.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if ok {
			r, err := b.Append(ctx, value)
			if err != nil {
				return nil, err
			}
			return r[0], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the change of members before: %w", ctx.Err())
		}
	}
}

// Settled tells whether [Base.ChangeMembers] would write at once.
func (b *Base) Settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.e.settled()
}
