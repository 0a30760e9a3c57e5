package noise

import (
	"errors"
	"fmt"
	"io"

	flynn "github.com/flynn/noise"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// MaxMessage is the largest handshake message in bytes.
const MaxMessage = flynn.MaxMsgLen

// ErrHandshake means that a handshake message is not authentic, not well formed
// or not the one that is due.
var ErrHandshake = errors.New("noise: handshake failed")

// Config holds the parameters of a handshake.
type Config struct {
	// Initiator tells whether this side writes the first message.
	Initiator bool
	// Static is this side's identity. Required.
	Static *hypercrypto.KeyPair
	// Remote is the responder's identity. Required for an IK initiator, unused
	// otherwise.
	Remote *hypercrypto.PublicKey
	// Prologue is mixed into the hash first; both sides must have the same.
	Prologue []byte
	// Random is the source of the ephemeral seed. Nil means the system's.
	Random io.Reader
}

// Keys is what a finished handshake leaves behind.
type Keys struct {
	// TX encrypts what this side sends, RX what it receives.
	TX, RX [32]byte
	// Hash is equal on both sides and unique to the handshake.
	Hash [64]byte
	// Remote is the proven identity of the other side.
	Remote hypercrypto.PublicKey
}

// A Handshake is one run of a pattern. The sides call Write and Read in turn,
// the initiator Write first, until Done. It is not safe for concurrent use.
type Handshake struct {
	initiator bool
	state     *flynn.HandshakeState
	keys      *Keys
	err       error
}

// NewXX starts a handshake in which both sides learn each other's identity on
// the way: three messages.
func NewXX(cfg Config) (*Handshake, error) {
	cfg.Remote = nil
	return newHandshake(cfg, flynn.HandshakeXX)
}

// NewIK starts a handshake in which the initiator knows the responder's
// identity: two messages.
func NewIK(cfg Config) (*Handshake, error) {
	if !cfg.Initiator {
		cfg.Remote = nil
	} else if cfg.Remote == nil {
		return nil, errors.New("noise: the IK initiator needs the remote public key")
	}
	return newHandshake(cfg, flynn.HandshakeIK)
}

func newHandshake(cfg Config, pattern flynn.HandshakePattern) (*Handshake, error) {
	c := flynn.Config{
		CipherSuite:   flynn.NewCipherSuite(&curve{}, flynn.CipherChaChaPoly, flynn.HashBLAKE2b),
		Random:        cfg.Random,
		Pattern:       pattern,
		Initiator:     cfg.Initiator,
		Prologue:      cfg.Prologue,
		StaticKeypair: staticKey(cfg.Static),
	}
	if cfg.Remote != nil {
		remote := *cfg.Remote
		c.PeerStatic = remote[:]
	}
	state, err := flynn.NewHandshakeState(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrHandshake, err)
	}
	return &Handshake{initiator: cfg.Initiator, state: state}, nil
}

// Write appends the next message, which carries payload, to dst.
func (h *Handshake) Write(dst, payload []byte) ([]byte, error) {
	return h.step(h.state.WriteMessage, "write", dst, payload)
}

// Read checks the next message of the other side and appends its payload to
// dst. message may come from anywhere and is not changed.
func (h *Handshake) Read(dst, message []byte) ([]byte, error) {
	if len(message) > MaxMessage {
		h.err = fmt.Errorf("%w: message of %d bytes", ErrHandshake, len(message))
	}
	return h.step(h.state.ReadMessage, "read", dst, message)
}

type stepFunc func(out, in []byte) ([]byte, *flynn.CipherState, *flynn.CipherState, error)

func (h *Handshake) step(fn stepFunc, name string, dst, in []byte) ([]byte, error) {
	if h.err != nil {
		return nil, h.err
	}
	n := h.state.MessageIndex() + 1
	out, first, second, err := fn(dst, in)
	if err != nil {
		// The state may be half advanced, so nothing may follow.
		h.err = fmt.Errorf("%w: %s message %d: %w", ErrHandshake, name, n, err)
		return nil, h.err
	}
	if first != nil {
		if !h.initiator {
			first, second = second, first
		}
		h.keys = &Keys{
			TX:     first.UnsafeKey(),
			RX:     second.UnsafeKey(),
			Hash:   [64]byte(h.state.ChannelBinding()),
			Remote: hypercrypto.PublicKey(h.state.PeerStatic()),
		}
	}
	return out, nil
}

// Done tells whether the last message has been written or read.
func (h *Handshake) Done() bool { return h.keys != nil }

// Keys returns the result; nil before Done.
func (h *Handshake) Keys() *Keys { return h.keys }

// RemotePublicKey returns the other side's identity as soon as it is known. It
// is proven only when the handshake is done or, for an XX initiator, after the
// second message.
func (h *Handshake) RemotePublicKey() (pub hypercrypto.PublicKey, ok bool) {
	ok = copy(pub[:], h.state.PeerStatic()) == len(pub)
	return pub, ok
}
