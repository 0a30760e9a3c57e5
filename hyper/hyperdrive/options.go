package hyperdrive

import (
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Options configures Open. The zero value opens the store's own drive.
type Options struct {
	// Key is the drive to open; nil means the own drive of the store's namespace.
	Key *hypercrypto.Key
	// EncryptionKey reads and writes both logs encrypted. Nil: not encrypted.
	EncryptionKey *hypercrypto.EncryptionKey
	// Compat makes or opens a drive whose key is the public key of its signer, as
	// before manifests. KeyPair is then needed to write.
	Compat bool
	// KeyPair signs instead of the store's own key pair for the drive.
	KeyPair *hypercrypto.KeyPair
	// NoTimes keeps times and sizes out of the entries, so that the logs have the
	// same bytes as those of the JavaScript module. The version of a time is then
	// only known from what this machine saw.
	NoTimes bool
	// Passive opens the logs without asking peers for new versions by itself.
	Passive bool
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
