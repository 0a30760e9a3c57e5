package files

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/internal/fault"
)

// Options configures [Open]. The zero value is ready to use.
type Options struct {
	// Home is the node's data folder. It is never imported.
	Home string
	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

// Library is all drives of one store. It is safe for concurrent use.
type Library struct {
	store    *corestore.Store
	registry *registry
	opts     Options

	mu     sync.Mutex // guards what follows
	open   map[hypercrypto.Key]*handle
	dests  map[string]bool // that gets write to
	closed bool
}

// handle is an open drive that several requests share.
type handle struct {
	drive *hyperdrive.Drive
	close func() error // closes drive
	err   error
	ready chan struct{} // closed when the above are set

	refs    int           // guarded by Library.mu
	writing chan struct{} // holds a token while one request writes
}

// Open opens the library of a store. The store must stay open until the library
// is closed.
func Open(ctx context.Context, store *corestore.Store, opts *Options) (*Library, error) {
	l := &Library{store: store, open: make(map[hypercrypto.Key]*handle), dests: make(map[string]bool)}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Log == nil {
		l.opts.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if l.registry, err = openRegistry(ctx, store); err != nil {
		return nil, fmt.Errorf("open list of drives: %w", err)
	}
	return l, nil
}

// Close closes all drives.
func (l *Library) Close() error {
	l.mu.Lock()
	l.closed = true
	var errs []error
	for _, h := range l.open {
		select {
		case <-h.ready:
			if h.drive != nil {
				errs = append(errs, h.close())
			}
		default: // its opener sees closed
		}
	}
	l.open = nil
	l.mu.Unlock()
	return errors.Join(append(errs, l.registry.close())...)
}

// Records returns all known drives, sorted by name.
func (l *Library) Records() []Record { return l.registry.all() }

// acquire opens a drive, or shares it if it is open. release must be called.
func (l *Library) acquire(ctx context.Context, r Record) (h *handle, release func(), err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, nil, fault.New(fault.Closing, "the node is closing")
	}
	h = l.open[r.Key]
	if h == nil {
		h = &handle{ready: make(chan struct{}), refs: 1, writing: make(chan struct{}, 1)}
		l.open[r.Key] = h
		l.mu.Unlock()
		h.drive, h.close, h.err = l.openDrive(ctx, r)
		close(h.ready)
	} else {
		h.refs++
		l.mu.Unlock()
	}
	var once sync.Once
	release = func() { once.Do(func() { l.release(r.Key, h) }) }
	select {
	case <-h.ready:
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	}
	if h.err != nil {
		release()
		return nil, nil, h.err
	}
	return h, release, nil
}

func (l *Library) release(key hypercrypto.Key, h *handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.refs--; h.refs > 0 {
		return
	}
	if l.open[key] == h {
		delete(l.open, key)
	}
	// Closing under the lock keeps the drive from being opened a second time
	// while it is still open.
	if h.drive != nil {
		if err := h.close(); err != nil {
			l.opts.Log.Debug("close drive", "key", key, "err", err)
		}
	}
}

// openDrive opens a drive of its own or of somebody else, and returns what
// closes it.
func (l *Library) openDrive(ctx context.Context, r Record) (*hyperdrive.Drive, func() error, error) {
	store := l.store.Namespace(namespacePrefix + r.Space)
	o := &hyperdrive.Options{EncryptionKey: r.EncryptionKey}
	if !r.Own() {
		o.Key = &r.Key
	}
	d, err := hyperdrive.Open(ctx, store, o)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	if r.Own() && !r.Key.IsZero() && d.Key() != r.Key {
		return nil, nil, errors.Join(fault.New(fault.Corrupt, "drive %q has the key %s instead of %s", r.Name, d.Key(), r.Key), d.Close(), store.Close())
	}
	return d, func() error { return errors.Join(d.Close(), store.Close()) }, nil
}

// claim makes one get the only one that writes to a destination.
func (l *Library) claim(dest string) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dests[dest] {
		return nil, fault.New(fault.Busy, "another get is writing to %s", dest).Hint("wait for it to end, or choose another folder")
	}
	l.dests[dest] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.dests, dest)
	}, nil
}

// namespacePrefix keeps the drives apart from what else the store may hold.
const namespacePrefix = "cloudpal/drive/"

// lock waits until this request is the only one that writes the drive.
func (h *handle) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case h.writing <- struct{}{}:
		return func() { <-h.writing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
