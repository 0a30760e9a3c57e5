package secretstream

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/noise"
)

// ErrHandshake means that the other side does not speak the handshake or could
// not prove its key.
var ErrHandshake = errors.New("secretstream: handshake failed")

// ErrRemoteKey means that the other side has proven a key, but not the one that
// was asked for.
var ErrRemoteKey = errors.New("secretstream: unexpected remote public key")

// Sizes of the three messages, which carry no payload.
const (
	handshakeSize1 = 32
	handshakeSize2 = 32 + 32 + 16 + 16
	handshakeSize3 = 32 + 16 + 16
)

// Client runs the handshake as initiator over rwc and returns the connection.
// It owns rwc from the call on: on failure, and when ctx ends before the
// handshake does, rwc is closed. ctx has no effect on the finished connection.
//
// The last handshake message leaves together with the first messages if those
// are written at once, so the connection is known to work only when something
// was received.
func Client(ctx context.Context, rwc io.ReadWriteCloser, opts *Options) (*Conn, error) {
	return start(ctx, rwc, opts, true)
}

// Server runs the handshake as responder; otherwise it is like [Client].
func Server(ctx context.Context, rwc io.ReadWriteCloser, opts *Options) (*Conn, error) {
	return start(ctx, rwc, opts, false)
}

func start(ctx context.Context, rwc io.ReadWriteCloser, opts *Options, initiator bool) (*Conn, error) {
	o := opts.withDefaults()
	if o.KeyPair == nil {
		o.KeyPair = hypercrypto.NewKeyPair()
	}
	stop := context.AfterFunc(ctx, func() { rwc.Close() })
	c := newConn(rwc, o)
	last, keys, err := c.handshake(initiator)
	if !stop() {
		return nil, fmt.Errorf("secretstream handshake: %w", context.Cause(ctx))
	}
	if err != nil {
		rwc.Close()
		return nil, fmt.Errorf("secretstream handshake: %w", err)
	}
	err = c.begin(Session{
		Initiator:       initiator,
		TX:              keys.TX,
		RX:              keys.RX,
		HandshakeHash:   keys.Hash,
		PublicKey:       o.KeyPair.Public,
		RemotePublicKey: keys.Remote,
	}, last)
	if err != nil {
		rwc.Close()
		return nil, err
	}
	return c, nil
}

// handshake returns the keys and, for the initiator, the unit of message 3,
// which is still to be sent.
func (c *Conn) handshake(initiator bool) (last []byte, keys *noise.Keys, err error) {
	h, err := noise.NewXX(noise.Config{Initiator: initiator, Static: c.opts.KeyPair, Random: c.opts.random})
	if err != nil {
		return nil, nil, err
	}
	if initiator {
		if err := c.sendHandshake(h); err != nil {
			return nil, nil, err
		}
		if err := c.receiveHandshake(h, handshakeSize2); err != nil {
			return nil, nil, err
		}
		// Message 2 proves the responder's key; message 3 would reveal ours.
		if err := c.verify(h); err != nil {
			return nil, nil, err
		}
		last, err = handshakeUnit(h)
	} else {
		if err := c.receiveHandshake(h, handshakeSize1); err != nil {
			return nil, nil, err
		}
		if err := c.sendHandshake(h); err != nil {
			return nil, nil, err
		}
		if err := c.receiveHandshake(h, handshakeSize3); err != nil {
			return nil, nil, err
		}
		err = c.verify(h)
	}
	return last, h.Keys(), err
}

func (c *Conn) verify(h *noise.Handshake) error {
	remote, ok := h.RemotePublicKey()
	if !ok {
		return ErrHandshake
	}
	if want := c.opts.RemotePublicKey; want != nil && *want != remote {
		return fmt.Errorf("%w: %s instead of %s", ErrRemoteKey, remote, *want)
	}
	if c.opts.Verify != nil {
		return c.opts.Verify(remote)
	}
	return nil
}

func (c *Conn) sendHandshake(h *noise.Handshake) error {
	unit, err := handshakeUnit(h)
	if err != nil {
		return err
	}
	if _, err := c.rwc.Write(unit); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func handshakeUnit(h *noise.Handshake) ([]byte, error) {
	unit := make([]byte, lengthSize, lengthSize+handshakeSize2)
	unit, err := h.Write(unit, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	putLength(unit, len(unit)-lengthSize)
	return unit, nil
}

// receiveHandshake reads a unit of exactly size bytes.
func (c *Conn) receiveHandshake(h *noise.Handshake, size int) error {
	for {
		n, whole := c.unit()
		if n >= 0 && n != size {
			return fmt.Errorf("%w: message of %d bytes instead of %d", ErrHandshake, n, size)
		}
		if whole {
			break
		}
		if err := c.fill(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("receive: %w", err)
		}
	}
	body := c.buf[c.r+lengthSize : c.r+lengthSize+size]
	c.r += lengthSize + size
	if _, err := h.Read(nil, body); err != nil {
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return nil
}
