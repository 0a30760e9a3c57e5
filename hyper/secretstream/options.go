package secretstream

import (
	"crypto/rand"
	"io"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Options configures [Client], [Server] and [New]. The zero value is ready to
// use; nil means the zero value.
type Options struct {
	// KeyPair is this side's identity in the handshake. Nil means a random one.
	KeyPair *hypercrypto.KeyPair
	// RemotePublicKey is the key that the other side must prove. Nil means any.
	// An initiator compares before it shows its own identity.
	RemotePublicKey *hypercrypto.PublicKey
	// Verify, if set, is asked whether to go on with the other side, at the
	// moment at which RemotePublicKey is compared. An error ends the handshake
	// and is returned.
	Verify func(remote hypercrypto.PublicKey) error
	// KeepAlive is the time without writing after which an empty message is
	// sent. Default 0: never. The other side does not see empty messages.
	KeepAlive time.Duration
	// IdleTimeout is the time without received bytes after which the connection
	// fails with ErrTimeout. Default 0: never.
	IdleTimeout time.Duration

	random io.Reader // seeds and headers; tests make them known
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.random == nil {
		c.random = rand.Reader
	}
	return c
}
