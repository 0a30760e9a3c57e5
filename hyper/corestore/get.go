package corestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// GetOptions says which core Get is to open: exactly one of Name, Key,
// DiscoveryKey, KeyPair and Manifest, where KeyPair may go along with Key or
// Manifest to sign.
type GetOptions struct {
	// Name is a core of this store's own, in its namespace, made if there is
	// none.
	Name string
	// Key is a core of anybody. It is writable if its key pair is stored.
	Key *hypercrypto.Key
	// DiscoveryKey is a core that is stored already, else
	// [hypercore.ErrNotFound].
	DiscoveryKey *hypercrypto.DiscoveryKey
	// KeyPair is the core with the default manifest of this signer.
	KeyPair *hypercrypto.KeyPair
	// Manifest is the core with this manifest.
	Manifest *hypercrypto.Manifest

	// EncryptionKey and Encryption are as in [hypercore.Options].
	EncryptionKey *hypercrypto.EncryptionKey
	Encryption    hypercrypto.BlockEncryption
	// ReadOnly and Passive are as in [hypercore.Options].
	ReadOnly bool
	Passive  bool
	// MustExist refuses to make a core that is not stored.
	MustExist bool
}

// Get returns a handle on a core and attaches the core to the connections of
// the store, unless it is passive. The handle must be closed; closing the store
// does so too.
func (s *Store) Get(ctx context.Context, o GetOptions) (*hypercore.Core, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	co, alias, err := s.resolve(&o)
	if err != nil {
		return nil, err
	}
	made := s.mark != "" && !s.root.stored(&co)
	e, err := s.root.acquire(ctx, co, false)
	if err != nil {
		return nil, err
	}
	if made {
		if err := s.root.setMark(e.core.DiscoveryKey(), s.mark); err != nil {
			s.root.release(e, false)
			return nil, err
		}
	}
	if alias {
		if err := s.root.setAlias(s.namespace, o.Name, e.core.DiscoveryKey()); err != nil {
			s.root.release(e, false)
			return nil, err
		}
	}
	c, err := s.handOut(e, &o)
	if err != nil {
		s.root.release(e, false)
		return nil, err
	}
	if !o.Passive {
		s.root.attachAll(c)
	}
	return c, nil
}

// handOut makes a handle that gives the entry back when it is closed.
func (s *Store) handOut(e *entry, o *GetOptions) (*hypercore.Core, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	var c *hypercore.Core
	c, err := e.core.Session(&hypercore.SessionOptions{
		EncryptionKey: o.EncryptionKey, Encryption: o.Encryption, ReadOnly: o.ReadOnly, Passive: o.Passive,
		OnClose: func() {
			s.mu.Lock()
			delete(s.cores, c)
			s.mu.Unlock()
			s.root.release(e, false)
		},
	})
	if err != nil {
		return nil, err
	}
	s.cores[c] = struct{}{}
	return c, nil
}

// resolve turns the options into those of hypercore. alias tells that the name
// is new and has to be remembered.
func (s *Store) resolve(o *GetOptions) (co hypercore.Options, alias bool, err error) {
	r := s.root
	co = r.opts.Core
	co.Key, co.DiscoveryKey, co.KeyPair, co.Manifest = o.Key, o.DiscoveryKey, o.KeyPair, o.Manifest
	co.Compat, co.ReadOnly, co.Passive, co.EncryptionKey, co.Encryption = false, false, true, nil, nil
	co.Relaxed, co.MustExist, co.ManifestVersion = r.opts.Relaxed, o.MustExist, r.opts.ManifestVersion
	if co.Log == nil {
		co.Log = r.opts.Log
	}
	if o.Name == "" {
		if o.Key == nil && o.DiscoveryKey == nil && o.KeyPair == nil && o.Manifest == nil {
			return co, false, fmt.Errorf("%w: neither name nor key given", ErrName)
		}
		return co, false, nil
	}
	if len(o.Name) > MaxName {
		return co, false, fmt.Errorf("%w: %d bytes, %d are possible", ErrName, len(o.Name), MaxName)
	}
	co.Key, co.Manifest = nil, nil
	co.KeyPair = s.KeyPair(o.Name)
	dk, err := r.db.Alias(storage.Alias{Namespace: s.namespace, Name: o.Name})
	switch {
	case err == nil:
		co.DiscoveryKey, co.MustExist = &dk, true
		// Its manifest may be of another version than new ones are.
		co.KeyPair = nil
		if _, err := r.db.Core(dk); errors.Is(err, storage.ErrNotFound) {
			if err := r.mayCreate(dk); err != nil {
				return co, false, fmt.Errorf("name %q: %w", o.Name, err)
			}
		}
		return co, false, nil
	case errors.Is(err, storage.ErrNotFound):
		co.DiscoveryKey = nil
		return co, true, nil
	default:
		return co, false, err
	}
}

func (r *root) setAlias(namespace [32]byte, name string, dk hypercrypto.DiscoveryKey) error {
	b := r.db.NewBatch()
	defer b.Close()
	b.SetAlias(storage.Alias{Namespace: namespace, Name: name}, dk)
	if err := b.Commit(storage.Durable); err != nil {
		return fmt.Errorf("remember name %q: %w", name, err)
	}
	return nil
}

// acquire returns the open core that the options name, and counts the caller as
// a user of it; release takes the same forPeer.
func (r *root) acquire(ctx context.Context, o hypercore.Options, forPeer bool) (*entry, error) {
	dk, err := o.Discovery()
	if err != nil {
		return nil, err
	}
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, ErrClosed
		}
		e := r.cores[dk]
		if e == nil {
			e = &entry{ready: make(chan struct{})}
			e.count(1, forPeer)
			r.cores[dk] = e
			r.mu.Unlock()
			r.open(ctx, e, dk, o)
			if e.err != nil {
				return nil, e.err
			}
			return e, nil
		}
		if e.gone != nil {
			r.mu.Unlock()
			select {
			case <-e.gone:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		e.count(1, forPeer)
		r.mu.Unlock()
		select {
		case <-e.ready:
		case <-ctx.Done():
			r.release(e, forPeer)
			return nil, ctx.Err()
		}
		if e.err == nil {
			if err := e.core.Adopt(o.KeyPair, o.Manifest); err != nil {
				r.release(e, forPeer)
				return nil, err
			}
			return e, nil
		}
		if ctx.Err() != nil || !errors.Is(e.err, context.Canceled) && !errors.Is(e.err, hypercore.ErrNotFound) {
			return nil, e.err
		}
	}
}

func (r *root) open(ctx context.Context, e *entry, dk hypercrypto.DiscoveryKey, o hypercore.Options) {
	var core *hypercore.Core
	var err error
	if o.KeyPair != nil {
		err = r.mayCreate(dk)
	}
	if err == nil {
		core, err = hypercore.Open(ctx, r.db, &o)
	}
	r.mu.Lock()
	if err != nil {
		e.err = err
		delete(r.cores, dk)
	} else {
		e.core = core
		for f := range r.finding {
			f.add(core)
		}
	}
	r.mu.Unlock()
	close(e.ready)
	if core != nil {
		core.Events(func(ev hypercore.Event) {
			if ev.Type == hypercore.EventPeerRemove {
				r.mu.Lock()
				r.closeWhenIdle(e)
				r.mu.Unlock()
			}
		})
	}
}

// idleTime is how long a core that nobody uses stays open.
const idleTime = 2 * time.Second

// count counts uses. root.mu is held.
func (e *entry) count(n int, forPeer bool) {
	e.users += n
	if forPeer {
		e.opens += n
	}
}

// release takes back one use of a core.
func (r *root) release(e *entry, forPeer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.count(-1, forPeer)
	r.closeWhenIdle(e)
}

// closeWhenIdle closes the core after a while if nobody wants it: no handle, no
// peer. r.mu is held.
func (r *root) closeWhenIdle(e *entry) {
	if e.users > 0 || e.core == nil || r.closed || e.timed || e.gone != nil {
		return
	}
	e.timed = true
	time.AfterFunc(idleTime, func() { r.closeIfIdle(e) })
}

func (r *root) closeIfIdle(e *entry) {
	r.mu.Lock()
	e.timed = false
	if e.users > 0 || len(e.core.Peers()) > 0 || r.closed || e.gone != nil {
		r.mu.Unlock()
		return
	}
	e.gone = make(chan struct{})
	r.wg.Add(1)
	defer r.wg.Done()
	r.mu.Unlock()
	if err := e.core.Close(); err != nil {
		r.opts.Log.Debug("close idle core", "core", e.core.Key(), "err", err)
	}
	r.mu.Lock()
	delete(r.cores, e.core.DiscoveryKey())
	r.mu.Unlock()
	close(e.gone)
}
