package space

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// Receipt follows what becomes of an operation.
type Receipt = autobase.Receipt

// Space is an open space. It is safe for concurrent use, and open as long as its
// library is, unless it is left or forgotten.
type Space struct {
	l     *Library
	store *corestore.Store
	base  *autobase.Base

	running atomic.Pointer[autobase.Base] // base, once it is open

	app   *app
	blobs *hypercore.Core // this device's blob log
	ring  *ring
	box   *hypercrypto.BoxKeyPair
	snaps snapshots
	stale atomic.Bool // the clock has not seen all times of the state

	presence presence

	founding sync.Mutex // held while the first operation is written

	mu     sync.Mutex    // guards what follows
	record Record        // changes with the local name
	change chan struct{} // closed and replaced with every event

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Key returns the key of the space.
func (s *Space) Key() hypercrypto.Key { return s.app.key }

// Record returns what this device remembers of the space.
func (s *Space) Record() Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record
}

// Name returns the name that the space has on this device.
func (s *Space) Name() string { return s.Record().Name }

// Log returns the key of this device's log.
func (s *Space) Log() hypercrypto.Key { return s.base.LocalKey() }

// Changed returns a channel that is closed with the next change of the state.
func (s *Space) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change
}

// onEvent is called by the base, which is locked.
func (s *Space) onEvent(e autobase.Event) {
	switch e.Type {
	case autobase.EventForward:
		s.stale.Store(true)
	case autobase.EventWarning, autobase.EventFailed, autobase.EventFrozen, autobase.EventRefused:
		s.l.opts.Log.Debug("space", "key", s.app.key, "event", e.Type, "log", e.Key, "length", e.Length, "error", e.Err)
	}
	if e.Type == autobase.EventUpdate && s.app.tree != nil {
		if err := s.snaps.take(s.app.tree.Core()); err != nil {
			s.l.opts.Log.Debug("space", "key", s.app.key, "error", err)
		}
	}
	s.mu.Lock()
	close(s.change)
	s.change = make(chan struct{})
	s.mu.Unlock()
	s.l.changed()
}

// Append writes operations of one collection, which are applied together or not at all,
// and returns when they are durable and applied here. The receipts tell whether that
// is final.
//
// The error of a collection that refuses is wrapped; nothing has an effect then, though
// the operations are in the log.
func (s *Space) Append(ctx context.Context, typ string, bodies ...[]byte) ([]*Receipt, error) {
	c := s.app.collections[typ]
	if c == nil {
		return nil, fault.New(fault.Usage, "there is no collection %q", typ)
	}
	level := max(1, c.Level())
	return s.append(ctx, level, typ, bodies)
}

func (s *Space) append(ctx context.Context, level uint64, typ string, bodies [][]byte) ([]*Receipt, error) {
	values, err := s.envelopes(ctx, level, typ, bodies)
	if err != nil {
		return nil, err
	}
	receipts, err := s.base.Append(ctx, values...)
	if err != nil {
		return nil, s.explain(err)
	}
	for _, r := range receipts {
		if o := r.Outcome(); o.Err != nil {
			return receipts, s.explain(o.Err)
		}
	}
	return receipts, nil
}

func (s *Space) envelopes(ctx context.Context, level uint64, typ string, bodies [][]byte) ([][]byte, error) {
	if s.stale.Swap(false) {
		if err := s.followClock(ctx); err != nil {
			s.stale.Store(true)
			return nil, err
		}
	}
	var values [][]byte
	for _, b := range bodies {
		if len(b) > MaxBody {
			return nil, fault.New(fault.Usage, "an operation of %d bytes, at most %d are possible", len(b), MaxBody)
		}
		e := envelope{level: level, time: s.l.clock.Now(), typ: typ, body: b}
		values = append(values, e.appendTo(nil))
	}
	return values, nil
}

// followClock shows the clock what the state has, where that was not applied here.
func (s *Space) followClock(ctx context.Context) error {
	tree, release := s.snaps.use()
	defer release()
	_, e, _, err := records{tree}.last(ctx)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if !s.l.clock.Observe(e.effective) {
		s.l.clock.Observe(e.time)
	}
	return nil
}

// do writes an action of the space itself.
func (s *Space) do(ctx context.Context, act action) (*Receipt, error) {
	r, err := s.append(ctx, 1, coreType, [][]byte{encodeAction(act)})
	if err != nil {
		return nil, err
	}
	return r[0], nil
}

// explain gives errors of the base a kind.
func (s *Space) explain(err error) error {
	name := s.Name()
	switch {
	case errors.Is(err, autobase.ErrNotMember):
		return fault.New(fault.Permission, "this device may not write to space %q", name).Hint("a viewer only reads; a removed device needs a new invite")
	case errors.Is(err, autobase.ErrInterrupted):
		return fault.New(fault.Unavailable, "space %q: %w", name, err).Hint("update this program")
	case errors.Is(err, autobase.ErrLocked):
		return fault.New(fault.Unavailable, "this device waits for a key of space %q", name).Hint("a device of another member has to be online")
	case errors.Is(err, autobase.ErrMissing):
		return fault.New(fault.Unavailable, "a part of space %q has not come from other devices yet", name).Hint("one of them, or a mirror, has to be online")
	case errors.Is(err, autobase.ErrClosed):
		return fault.New(fault.Closing, "space %q is closed", name)
	case errors.Is(err, errLastOwner):
		return fault.New(fault.Conflict, "space %q: %w", name, err).Hint("cloudpal space role %s PERSON owner", fault.Word(name)).
			Hint("or only keep it on this device no longer: cloudpal space leave %s --forget", fault.Word(name))
	case errors.Is(err, errNotRemovable):
		return fault.New(fault.Conflict, "space %q: %w", name, err)
	case errors.Is(err, errRefused):
		return fault.New(fault.Permission, "space %q: %w", name, err)
	}
	return err
}

// View returns the newest state of a collection. Each call of the reader reads the
// whole state that is newest then.
func (s *Space) View(typ string) Reader { return reader{&s.snaps, typ} }

// ViewAt returns the state of a collection at a version, which the journal has: see
// [Space.History]. It stays what it is until close is called.
func (s *Space) ViewAt(typ string, version uint64) (r Reader, close func() error, err error) {
	tree, release := s.snaps.use()
	if version > tree.Version() {
		release()
		return nil, nil, fault.New(fault.NotFound, "space %q has no version %d yet", s.Name(), version)
	}
	t, err := tree.Checkout(version)
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("version %d of space %q: %w", version, s.Name(), err)
	}
	close = sync.OnceValue(func() error {
		defer release()
		return t.Close()
	})
	return newPart(t, typ), close, nil
}

// Version returns the version of the newest state.
func (s *Space) Version() uint64 {
	tree, release := s.snaps.use()
	defer release()
	return tree.Version()
}

// BlobLog returns this device's log of contents, encrypted and writable. It belongs to
// the space: do not close it.
func (s *Space) BlobLog() *hypercore.Core { return s.blobs }

// BlobLogOf opens the log of contents of another device, by the key that the device's
// record has. Close it.
func (s *Space) BlobLogOf(ctx context.Context, key hypercrypto.Key) (*hypercore.Core, error) {
	c, err := s.openBlobs(ctx, corestore.GetOptions{Key: &key}, key)
	if err != nil {
		return nil, fmt.Errorf("open contents of space %q: %w", s.Name(), err)
	}
	return c, nil
}

// Status is what a space knows of itself.
type Status struct {
	autobase.Status
	// Err is why the space stopped; nil while it runs.
	Err error
	// Role is that of the person on this device; 0 until the space knows this device.
	Role Role
}

// Status returns the present state.
func (s *Space) Status(ctx context.Context) (Status, error) {
	st := Status{Status: s.base.Status()}
	if err := s.base.Err(); err != nil {
		st.Err = s.explain(err)
	}
	p, dev, err := s.self(ctx)
	if err == nil && dev != nil {
		st.Role = p.role
	}
	return st, err
}

// self returns the records of this device; nil if it is no member.
func (s *Space) self(ctx context.Context) (*person, *device, error) {
	tree, release := s.snaps.use()
	defer release()
	r := records{tree}
	dev, err := r.device(ctx, s.Log())
	if err != nil || dev == nil || dev.until != 0 {
		return nil, nil, err
	}
	p, err := r.person(ctx, dev.person)
	if err != nil || p == nil || p.until != 0 {
		return nil, nil, err
	}
	return p, dev, nil
}

// MayWrite returns nil if this device can write now, or the error that Append would have.
func (s *Space) MayWrite() error {
	if err := s.base.Err(); err != nil {
		return s.explain(err)
	}
	switch st := s.base.Status(); {
	case !st.Writable:
		return s.explain(autobase.ErrNotMember)
	case st.Locked:
		return s.explain(autobase.ErrLocked)
	}
	return nil
}

// Update takes in everything that has arrived.
func (s *Space) Update(ctx context.Context) error {
	_, err := s.base.Update(ctx)
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// await waits until cond holds of the state.
func (s *Space) await(ctx context.Context, cond func(ctx context.Context) (bool, error)) error {
	for {
		changed := s.Changed()
		if err := s.base.Err(); err != nil {
			return s.explain(err)
		}
		if ok, err := cond(ctx); err != nil || ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// WaitMember waits until this device is a member, and may write if its role is one
// that does.
func (s *Space) WaitMember(ctx context.Context) error { return s.await(ctx, s.member) }

// WaitInvited is [Space.WaitMember] of a device that joined with an invite, named by its ID.
// It waits for the invite to be known here, too: on its way to the newest state a device
// sees older ones, in which its person may have been somebody else.
func (s *Space) WaitInvited(ctx context.Context, id hypercrypto.Hash) error {
	return s.await(ctx, func(ctx context.Context) (bool, error) {
		if _, err := s.inviteOf(ctx, id); errors.Is(err, blindpairing.ErrUnknownInvite) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		return s.member(ctx)
	})
}

// member tells whether this device is a member, and may write if its role is one that does.
func (s *Space) member(ctx context.Context) (bool, error) {
	p, _, err := s.self(ctx)
	return p != nil && (!p.role.writes() || s.base.Status().Writable), err
}

func (s *Space) close() error {
	if s.cancel != nil {
		s.cancel()
	}
	s.wg.Wait()
	err := s.base.Close()
	s.snaps.close()
	return errors.Join(err, s.blobs.Close(), s.ring.core.Close(), s.store.Close())
}

// first takes the state that the base opened with.
func (s *Space) first() error { return s.snaps.take(s.app.tree.Core()) }
