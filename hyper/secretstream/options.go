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
	// Outgoing and Incoming limit how fast encrypted bytes leave and arrive. Nil does
	// not. One may serve many connections.
	Outgoing, Incoming Throttle

	random io.Reader // seeds and headers; tests make them known
}

// Throttle is a limit of bytes over time. It must be safe for concurrent use.
type Throttle interface {
	// Step is the greatest number of bytes for one Wait; 0 lets everything pass
	// without one. It may change at any time.
	Step() int
	// Wait returns when n more bytes may pass, or when closed is closed.
	Wait(n int, closed <-chan struct{})
}

// step returns how many bytes may be moved before the next Wait, 0 for any number.
func step(t Throttle) int {
	if t == nil {
		return 0
	}
	return t.Step()
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
