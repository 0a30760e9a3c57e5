package hypercore

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Options configures Open. The zero value makes a new log with a random key
// pair, or none if a key is given.
type Options struct {
	// Key is the log to open. Nil: the key follows from Manifest or KeyPair.
	Key *hypercrypto.Key
	// DiscoveryKey opens a log that is stored already, by its discovery key.
	DiscoveryKey *hypercrypto.DiscoveryKey
	// KeyPair signs. For a new log without Key and Manifest it is the only
	// signer. Nil: the stored one, or a new one for a new log without Key.
	KeyPair *hypercrypto.KeyPair
	// Manifest names the signers. Nil: what is stored, or the default manifest
	// of KeyPair.
	Manifest *hypercrypto.Manifest
	// ManifestVersion is the version of a default manifest, 1 if 0.
	ManifestVersion uint64
	// Compat makes a log whose key is the public key of its signer, as before
	// manifests.
	Compat bool
	// MustExist refuses to create: [ErrNotFound] if nothing is stored.
	MustExist bool

	// EncryptionKey decrypts and encrypts blocks in the default scheme.
	EncryptionKey *hypercrypto.EncryptionKey
	// Encryption is another scheme. At most one of both may be given.
	Encryption hypercrypto.BlockEncryption

	// ReadOnly makes a handle that cannot write, whatever keys are at hand.
	ReadOnly bool
	// Passive makes a handle that does not ask for data by itself: the log is
	// served to peers, but not kept up to date.
	Passive bool
	// Relaxed lets Append return when the block is written to the operating
	// system, before it is durable. Peers learn of it when it is.
	Relaxed bool
	// NoFork refuses to follow the log to another fork.
	NoFork bool
	// NoEagerUpgrade keeps the log from fetching new heads by itself: only
	// Update does.
	NoEagerUpgrade bool
	// AllowPush accepts blocks that peers send unasked.
	AllowPush bool

	// MaxInflight limits the block requests that wait at one peer. Default 1024.
	MaxInflight int
	// MaxInflightBytes limits the bytes of blocks asked for or received and not
	// yet stored, per peer, as far as sizes are known. Default 8 MiB.
	MaxInflightBytes int
	// RequestTimeout is how long a peer may be silent on all requests before
	// they are given to others. Default 30 s.
	RequestTimeout time.Duration

	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.ManifestVersion == 0 {
		c.ManifestVersion = 1
	}
	if c.MaxInflight <= 0 {
		c.MaxInflight = 1024
	}
	if c.MaxInflightBytes <= 0 {
		c.MaxInflightBytes = 8 << 20
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.EncryptionKey != nil && c.Encryption != nil {
		return c, errors.New("hypercore: both an encryption key and an encryption scheme were given")
	}
	return c, nil
}

// identity works out which log the options mean. known tells whether the key
// can be told without the store.
func (o *Options) identity() (key hypercrypto.Key, m *hypercrypto.Manifest, err error) {
	m = o.Manifest
	switch {
	case m != nil:
		key = m.Key()
		if o.Compat && len(m.Signers) == 1 {
			key = hypercrypto.Key(m.Signers[0].PublicKey)
		}
	case o.Key != nil:
		key = *o.Key
		if o.KeyPair != nil {
			m = o.ownManifest(key)
		}
	case o.KeyPair != nil:
		if o.Compat {
			return hypercrypto.Key(o.KeyPair.Public), hypercrypto.DefaultManifest(o.KeyPair.Public), nil
		}
		if m, err = o.newManifest(); err != nil {
			return key, nil, err
		}
		key = m.Key()
	}
	if o.Key != nil && m != nil {
		if ok, _ := m.Matches(*o.Key); !ok {
			return key, nil, fmt.Errorf("%w: manifest of %s opened as %s", ErrKeyMismatch, m.Key(), *o.Key)
		}
		key = *o.Key
	}
	return key, m, nil
}

// ownManifest finds the plain manifest of the key pair that has the given key,
// nil if there is none: the key pair then signs for a manifest still to come.
func (o *Options) ownManifest(key hypercrypto.Key) *hypercrypto.Manifest {
	if m, err := o.newManifest(); err == nil && m.Key() == key {
		return m
	}
	if key == hypercrypto.Key(o.KeyPair.Public) {
		return hypercrypto.DefaultManifest(o.KeyPair.Public)
	}
	return nil
}

func (o *Options) newManifest() (*hypercrypto.Manifest, error) {
	m := hypercrypto.DefaultManifest(o.KeyPair.Public)
	m.Version = o.ManifestVersion
	if m.Version > 3 {
		return nil, fmt.Errorf("hypercore: manifest version %d is not known", m.Version)
	}
	return m, nil
}

// Discovery returns the discovery key of the log that the options name. It is
// an error if they name none.
func (o *Options) Discovery() (hypercrypto.DiscoveryKey, error) {
	if o.DiscoveryKey != nil {
		return *o.DiscoveryKey, nil
	}
	c, err := o.withDefaults()
	if err != nil {
		return hypercrypto.DiscoveryKey{}, err
	}
	key, _, err := c.identity()
	if err == nil && key.IsZero() {
		err = errors.New("hypercore: the options name no log")
	}
	return key.Discovery(), err
}
