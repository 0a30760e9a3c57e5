package corestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Errors of a Store.
var (
	// ErrOtherStore: the directory holds a store with another primary key.
	ErrOtherStore = errors.New("corestore: the directory belongs to another primary key")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("corestore: closed")
	// ErrName: a name that is empty or longer than MaxName bytes.
	ErrName = errors.New("corestore: invalid name")
	// ErrInUse: a core is to be deleted of which somebody has a handle.
	ErrInUse = errors.New("corestore: the core is in use")
	// ErrDeleted: a core that was written here and deleted is to be written
	// again; see [Store.Delete].
	ErrDeleted = errors.New("corestore: the core was deleted")
)

// MaxName is the largest length of a core's name in bytes.
const MaxName = 1024

// Options configures Open. The zero value is ready to use.
type Options struct {
	// PrimaryKey is the secret that key pairs are derived from. Nil: what the
	// directory holds, or a random one for a new directory.
	PrimaryKey *[32]byte
	// ManifestVersion is the version of the manifests of named cores. Default 1.
	// It changes the keys of cores that do not exist yet.
	ManifestVersion uint64
	// Relaxed is the durability of appends; see [hypercore.Options].
	Relaxed bool
	// Storage configures the database; nil means its defaults.
	Storage *storage.Options
	// Core is what cores are opened with: limits and policies. What says which
	// core it is, and Relaxed, is ignored.
	Core hypercore.Options
	// Quiet keeps the store from offering cores to peers by itself: a core is on
	// those connections where the peer asks for it, or that it was attached to with
	// [hypercore.Core.Replicate]. It is for stores with cores of many strangers.
	Quiet bool
	// Asked, if set, is called when a peer has asked for a stored core that no
	// handle attached to its connection. It must not wait.
	Asked func(dk hypercrypto.DiscoveryKey)
	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

// Store is a set of cores. It is safe for concurrent use.
type Store struct {
	root      *root
	namespace [32]byte
	mark      string // of the cores that it makes; set once

	mu       sync.Mutex // guards what follows
	sessions map[*Store]struct{}
	cores    map[*hypercore.Core]struct{}
	closed   bool
	parent   *Store
}

// root is what all views of a directory share.
type root struct {
	db      *storage.DB
	primary [32]byte
	opts    Options

	mu      sync.Mutex // guards what follows
	cores   map[hypercrypto.DiscoveryKey]*entry
	muxes   map[*protomux.Mux]struct{}
	finding map[*finder]struct{}
	closed  bool
	wg      sync.WaitGroup
}

// entry is a core that is open. The store holds one passive handle on it.
type entry struct {
	core  *hypercore.Core
	ready chan struct{} // closed when core or err is set
	err   error
	users int           // handles that were given out, and opens of peers in progress
	opens int           // the latter
	timed bool          // a timer is running that closes it if it stays idle
	gone  chan struct{} // set once it is being closed; closed when it is
}

// Open opens the store in dir, or makes one. Only one process can have it open;
// a *[storage.LockedError] names the other.
func Open(ctx context.Context, dir string, opts *Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &root{cores: make(map[hypercrypto.DiscoveryKey]*entry), muxes: make(map[*protomux.Mux]struct{}), finding: make(map[*finder]struct{})}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.ManifestVersion == 0 {
		r.opts.ManifestVersion = 1
	}
	if r.opts.ManifestVersion > 3 {
		return nil, fmt.Errorf("corestore: manifest version %d is not known", r.opts.ManifestVersion)
	}
	if r.opts.Log == nil {
		r.opts.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if r.db, err = storage.Open(dir, r.opts.Storage); err != nil {
		return nil, err
	}
	if err := r.loadPrimaryKey(); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	return newStore(r, [32]byte{}, nil), nil
}

func newStore(r *root, namespace [32]byte, parent *Store) *Store {
	return &Store{root: r, namespace: namespace, parent: parent,
		sessions: make(map[*Store]struct{}), cores: make(map[*hypercore.Core]struct{})}
}

// loadPrimaryKey finds the primary key, or makes and stores one.
func (r *root) loadPrimaryKey() error {
	stored, err := r.db.Seed()
	switch {
	case err == nil:
		r.primary = stored
		if r.opts.PrimaryKey != nil && *r.opts.PrimaryKey != stored {
			return ErrOtherStore
		}
		return nil
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	if r.opts.PrimaryKey != nil {
		r.primary = *r.opts.PrimaryKey
	} else if _, err := rand.Read(r.primary[:]); err != nil {
		return err
	}
	b := r.db.NewBatch()
	defer b.Close()
	b.SetSeed(r.primary)
	return b.Commit(storage.Durable)
}

// Namespace returns a view of the store in which names mean other cores.
// Closing it closes the cores that were opened through it.
func (s *Store) Namespace(name string) *Store {
	return s.view(deriveNamespace(s.namespace, name))
}

// Session returns a view of the same namespace that is closed on its own.
func (s *Store) Session() *Store { return s.view(s.namespace) }

func (s *Store) view(namespace [32]byte) *Store {
	v := newStore(s.root, namespace, s)
	v.mark = s.mark
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		v.closed = true
		return v
	}
	s.sessions[v] = struct{}{}
	return v
}

// PrimaryKey returns the secret that key pairs are derived from.
func (s *Store) PrimaryKey() [32]byte { return s.root.primary }

// KeyPair returns the key pair that belongs to a name in this namespace. It
// makes no core.
func (s *Store) KeyPair(name string) *hypercrypto.KeyPair {
	return deriveKeyPair(s.root.primary, s.namespace, name)
}

// DB returns the database below the store.
func (s *Store) DB() *storage.DB { return s.root.db }

// List yields the discovery keys of all stored cores.
func (s *Store) List() iter.Seq2[hypercrypto.DiscoveryKey, error] {
	return func(yield func(hypercrypto.DiscoveryKey, error) bool) {
		for c, err := range s.root.db.Cores() {
			var dk hypercrypto.DiscoveryKey
			if c != nil {
				dk = c.DiscoveryKey()
			}
			if !yield(dk, err) || err != nil {
				return
			}
		}
	}
}

// Close closes the view and the cores that were opened through it. Closing the
// store that Open returned closes everything, ends all replication and releases
// the directory. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var views []*Store
	for v := range s.sessions {
		views = append(views, v)
	}
	var cores []*hypercore.Core
	for c := range s.cores {
		cores = append(cores, c)
	}
	s.mu.Unlock()
	var errs []error
	for _, v := range views {
		errs = append(errs, v.Close())
	}
	for _, c := range cores {
		errs = append(errs, c.Close())
	}
	if s.parent != nil {
		s.parent.mu.Lock()
		delete(s.parent.sessions, s)
		s.parent.mu.Unlock()
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, s.root.close())...)
}

func (r *root) close() error {
	r.mu.Lock()
	r.closed = true
	var muxes []*protomux.Mux
	for m := range r.muxes {
		muxes = append(muxes, m)
	}
	r.mu.Unlock()
	for _, m := range muxes {
		m.Close()
	}
	r.wg.Wait()
	r.mu.Lock()
	var entries []*entry
	for _, e := range r.cores {
		entries = append(entries, e)
	}
	r.mu.Unlock()
	var errs []error
	for _, e := range entries {
		<-e.ready
		if e.core != nil && e.gone == nil {
			errs = append(errs, e.core.Close())
		}
	}
	return errors.Join(append(errs, r.db.Close())...)
}
