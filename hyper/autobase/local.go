package autobase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Names of what is kept beside logs, on this machine only.
const (
	referrerKey = "referrer"       // beside every log: the key of its base
	localKey    = "autobase/local" // beside the first writer's log: the key of the own log
)

// ErrReserved: the base itself uses this name of user data.
var ErrReserved = errors.New("autobase: reserved name of user data")

// openLocal opens the first writer's log as b.first, and returns a handle on the
// own log.
func (b *Base) openLocal(ctx context.Context, bootstrap *hypercrypto.Key) (*hypercore.Core, error) {
	own := corestore.GetOptions{Name: "local"}
	if b.opts.Local != nil {
		own = corestore.GetOptions{KeyPair: b.opts.Local}
	}
	if bootstrap == nil {
		base, err := b.referred(ctx, own)
		if err != nil {
			return nil, err
		}
		bootstrap = &base
	}
	var err error
	if b.first, err = b.store.Get(ctx, corestore.GetOptions{Key: bootstrap, Passive: true}); err != nil {
		return nil, fmt.Errorf("open the first log: %w", err)
	}
	known, err := b.first.UserData(localKey)
	if err != nil {
		return nil, err
	}
	switch {
	case b.opts.Local != nil:
	case len(known) == len(bootstrap):
		own = corestore.GetOptions{Key: (*hypercrypto.Key)(known)}
	case b.first.Writable():
		own = corestore.GetOptions{Key: bootstrap}
	}
	local, err := b.store.Get(ctx, own)
	if err != nil {
		return nil, fmt.Errorf("open the own log: %w", err)
	}
	return local, nil
}

// referred returns the base that a log belongs to. A log that belongs to none
// makes one.
func (b *Base) referred(ctx context.Context, log corestore.GetOptions) (hypercrypto.Key, error) {
	c, err := b.store.Get(ctx, log)
	if err != nil {
		return hypercrypto.Key{}, fmt.Errorf("open the own log: %w", err)
	}
	defer c.Close()
	known, err := c.UserData(referrerKey)
	if err != nil || len(known) != 32 {
		return c.Key(), err
	}
	return hypercrypto.Key(known), nil
}

// rememberLocal makes the next start find the own log, and by it the base.
func (b *Base) rememberLocal(local *hypercore.Core) error {
	base, own := b.first.Key(), local.Key()
	if err := remember(local, referrerKey, base[:]); err != nil {
		return err
	}
	return remember(b.first, localKey, own[:])
}

// remember stores a value beside a log unless it is there.
func remember(c *hypercore.Core, name string, value []byte) error {
	known, err := c.UserData(name)
	if err != nil || string(known) == string(value) {
		return err
	}
	return c.SetUserData(name, value)
}

// useLocal makes a log the own one.
func (b *Base) useLocal(ctx context.Context, key hypercrypto.Key) error {
	w, err := b.e.writer(ctx, key)
	if err != nil {
		return err
	}
	w.stopFetching() // nobody else writes it
	b.e.local = w
	b.local.Store(&key)
	return nil
}

// SetLocal makes the log of a key pair the own one, also after a restart, as when
// a device gets new keys. A member has to add it. The log before keeps its nodes
// and its membership.
func (b *Base) SetLocal(ctx context.Context, pair *hypercrypto.KeyPair) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	local, err := b.store.Get(ctx, corestore.GetOptions{KeyPair: pair})
	if err != nil {
		return fmt.Errorf("open the new own log: %w", err)
	}
	defer local.Close()
	if local.Key() == b.e.local.key {
		return nil
	}
	if _, err := b.e.sys.written(b.here, local.Key()); short(err) {
		return ErrMissing
	}
	// What is beside the new log is there before it counts.
	for _, name := range []string{bootKey, plainKey, sealedKey} {
		v, err := b.e.local.core.UserData(name)
		if err == nil && v != nil {
			err = remember(local, name, v)
		}
		if err != nil {
			return err
		}
	}
	if err := b.rememberLocal(local); err != nil {
		return err
	}
	if err := b.useLocal(b.here, local.Key()); err != nil {
		b.fail(err)
		return err
	}
	b.event(Event{Type: EventLocal, Key: local.Key()})
	if err := b.advance(b.here); err != nil {
		b.fail(err)
		return err
	}
	return nil
}

// SetUserData stores a value under a name, on this machine only. Nil removes it.
// The error is [ErrReserved] for names of the base's own.
func (b *Base) SetUserData(name string, value []byte) error {
	if reserved(name) {
		return fmt.Errorf("%w: %q", ErrReserved, name)
	}
	return b.first.SetUserData(name, value)
}

// UserData returns what SetUserData stored under a name, nil if there is nothing.
func (b *Base) UserData(name string) ([]byte, error) {
	if reserved(name) {
		return nil, fmt.Errorf("%w: %q", ErrReserved, name)
	}
	return b.first.UserData(name)
}

func reserved(name string) bool {
	return name == referrerKey || strings.HasPrefix(name, "autobase/") || strings.HasPrefix(name, "cloudpal/")
}
