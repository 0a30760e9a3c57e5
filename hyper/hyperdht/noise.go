package hyperdht

import (
	"bytes"
	"context"
	"crypto/rand"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/noise"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// initiator is the client's side of a handshake. It can read several replies
// until one is good: anybody may answer, only the server can answer right.
type initiator struct {
	ctx       context.Context // of the delegate
	delegated Handshake       // instead of all below but message

	keyPair *hypercrypto.KeyPair
	remote  hypercrypto.PublicKey
	payload []byte
	seed    [32]byte // of the ephemeral key
	message []byte   // the first message
	state   *noise.Handshake
}

func newInitiator(kp *hypercrypto.KeyPair, remote hypercrypto.PublicKey, p *payload) (*initiator, error) {
	i := &initiator{keyPair: kp, remote: remote, payload: p.appendTo(nil)}
	rand.Read(i.seed[:])
	return i, i.begin()
}

// begin makes the first message; it is the same every time.
func (i *initiator) begin() (err error) {
	i.state, err = noise.NewIK(noise.Config{Initiator: true, Static: i.keyPair, Remote: &i.remote, Prologue: nsHandshake[:],
		Random: bytes.NewReader(i.seed[:])})
	if err != nil {
		return err
	}
	i.message, err = i.state.Write(nil, i.payload)
	return err
}

// read takes the server's reply.
func (i *initiator) read(message []byte) (*payload, *secretstream.Session, error) {
	if i.delegated != nil {
		return i.readDelegated(message)
	}
	plain, err := i.state.Read(nil, message)
	if err != nil {
		if again := i.begin(); again != nil {
			return nil, nil, again
		}
		return nil, nil, err
	}
	p, err := decodePayload(plain)
	if err != nil {
		return nil, nil, err
	}
	return p, session(i.state.Keys(), true, i.keyPair), nil
}

// responder is the server's side of a handshake.
type responder struct {
	ctx       context.Context // of the delegate
	delegated Handshake       // instead of keyPair and state

	keyPair *hypercrypto.KeyPair
	state   *noise.Handshake
	remote  hypercrypto.PublicKey
	payload []byte // as the client sent it
}

// newResponder reads the client's message.
func newResponder(kp *hypercrypto.KeyPair, message []byte) (*responder, *payload, error) {
	h, err := noise.NewIK(noise.Config{Static: kp, Prologue: nsHandshake[:]})
	if err != nil {
		return nil, nil, err
	}
	plain, err := h.Read(nil, message)
	if err != nil {
		return nil, nil, err
	}
	p, err := decodePayload(plain)
	if err != nil {
		return nil, nil, err
	}
	remote, _ := h.RemotePublicKey()
	return &responder{keyPair: kp, state: h, remote: remote, payload: plain}, p, nil
}

func (r *responder) write(p *payload) ([]byte, *secretstream.Session, error) {
	if r.delegated != nil {
		return r.writeDelegated(p)
	}
	message, err := r.state.Write(nil, p.appendTo(nil))
	if err != nil {
		return nil, nil, err
	}
	return message, session(r.state.Keys(), false, r.keyPair), nil
}

func session(k *noise.Keys, initiator bool, kp *hypercrypto.KeyPair) *secretstream.Session {
	return &secretstream.Session{Initiator: initiator, TX: k.TX, RX: k.RX, HandshakeHash: k.Hash, PublicKey: kp.Public, RemotePublicKey: k.Remote}
}
