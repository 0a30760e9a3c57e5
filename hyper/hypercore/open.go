package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Open opens a log of db, or makes one: opts says which. The log must not be
// open already through another call of Open; use [Core.Session] or package
// corestore to share it. opts is not kept; nil means a new log with a random key
// pair.
//
// Errors: [ErrNotFound] if the log must exist and does not, [ErrKeyMismatch] if
// the options contradict each other or what is stored.
func Open(ctx context.Context, db *storage.DB, opts *Options) (*Core, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.KeyPair == nil && o.Key == nil && o.DiscoveryKey == nil && o.Manifest == nil {
		o.KeyPair = hypercrypto.NewKeyPair()
	}
	l, err := openLog(db, &o)
	if err != nil {
		return nil, err
	}
	return l.newHandle(&o), nil
}

func openLog(db *storage.DB, o *Options) (*log, error) {
	key, manifest, err := o.identity()
	if err != nil {
		return nil, err
	}
	l := &log{db: db, key: key, opts: *o, snapshots: make(map[*snapshot]struct{})}
	if key.IsZero() {
		l.dk = *o.DiscoveryKey
	} else {
		l.dk = key.Discovery()
	}
	l.st, err = db.Core(l.dk)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		if o.MustExist || key.IsZero() {
			return nil, fmt.Errorf("%w: %s", ErrNotFound, l.dk)
		}
		err = l.create(manifest)
	case err == nil:
		err = l.load(manifest)
	}
	if err != nil {
		return nil, err
	}
	l.repl = newReplicator(l)
	return l, nil
}

// create stores a new log.
func (l *log) create(m *hypercrypto.Manifest) error {
	auth := storage.Auth{Key: l.key}
	if m != nil {
		if err := l.learn(m); err != nil {
			return err
		}
		auth.Manifest = m.AppendTo(nil)
	}
	if kp := l.opts.KeyPair; kp != nil {
		l.keyPair = kp
		auth.Secret = kp.Secret()
	}
	b := l.db.NewBatch()
	defer b.Close()
	st, err := l.db.CreateCore(b, l.dk)
	if err != nil {
		return fmt.Errorf("create log %s: %w", l.key, err)
	}
	l.st = st
	b.SetAuth(st, auth)
	// A key pair that was forgotten would be a log that nobody can write.
	if err := b.Commit(storage.Durable); err != nil {
		return fmt.Errorf("create log %s: %w", l.key, err)
	}
	return nil
}

// load reads a stored log.
func (l *log) load(m *hypercrypto.Manifest) error {
	auth, err := l.st.Auth()
	if err != nil {
		return fmt.Errorf("open log %s: %w", l.dk, err)
	}
	l.key = auth.Key
	if l.key.Discovery() != l.dk {
		return fmt.Errorf("%w: key %s is stored under discovery key %s", ErrKeyMismatch, l.key, l.dk)
	}
	rewrite := false
	if len(auth.Manifest) > 0 {
		if m, err = hypercrypto.DecodeManifest(auth.Manifest); err != nil {
			return fmt.Errorf("open log %s: stored manifest: %w", l.key, err)
		}
	} else if m != nil {
		auth.Manifest, rewrite = m.AppendTo(nil), true
	}
	if m != nil {
		if err := l.learn(m); err != nil {
			return err
		}
	}
	switch {
	case l.opts.KeyPair != nil:
		l.keyPair = l.opts.KeyPair
		if len(auth.Secret) == 0 {
			auth.Secret, rewrite = l.keyPair.Secret(), true
		}
	case len(auth.Secret) > 0:
		if l.keyPair, err = hypercrypto.KeyPairFromSecret(auth.Secret); err != nil {
			return fmt.Errorf("open log %s: stored key pair: %w", l.key, err)
		}
	}
	if rewrite {
		b := l.db.NewBatch()
		defer b.Close()
		b.SetAuth(l.st, auth)
		if err := b.Commit(storage.Durable); err != nil {
			return fmt.Errorf("open log %s: %w", l.key, err)
		}
	}
	if err := l.loadHead(); err != nil {
		return fmt.Errorf("open log %s: %w", l.key, err)
	}
	return nil
}

func (l *log) loadHead() error {
	rec := l.st.Head()
	tree, err := merkle.Load(l, rec.Fork, rec.Length)
	if err != nil {
		return err
	}
	l.head = head{Tree: tree, signature: rec.Signature}
	if l.db.Synced() {
		l.published = l.head
	} // else a relaxed append may lie behind it that a power failure would take
	l.frozen = rec.Flags&storage.Frozen != 0
	return nil
}

// learn takes the manifest as the log's own.
func (l *log) learn(m *hypercrypto.Manifest) error {
	rules, err := hypercrypto.NewVerifier(l.key, m)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrKeyMismatch, err)
	}
	l.rules = rules
	return nil
}

// adopt takes and stores what was not known. l.change is held.
func (l *log) adopt(kp *hypercrypto.KeyPair, m *hypercrypto.Manifest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m == nil && kp != nil && l.rules == nil {
		m = (&Options{KeyPair: kp, ManifestVersion: l.opts.ManifestVersion}).ownManifest(l.key)
	}
	newPair, newManifest := kp != nil && l.keyPair == nil, m != nil && l.rules == nil
	if !newPair && !newManifest {
		return nil
	}
	if newManifest {
		if err := l.learn(m); err != nil {
			return err
		}
	}
	if newPair {
		l.keyPair = kp
	}
	auth := storage.Auth{Key: l.key}
	if l.rules != nil {
		auth.Manifest = l.rules.Manifest().AppendTo(nil)
	}
	if l.keyPair != nil {
		auth.Secret = l.keyPair.Secret()
	}
	b := l.db.NewBatch()
	defer b.Close()
	b.SetAuth(l.st, auth)
	if err := b.Commit(storage.Durable); err != nil {
		return fmt.Errorf("store key pair of log %s: %w", l.key, err)
	}
	return nil
}
