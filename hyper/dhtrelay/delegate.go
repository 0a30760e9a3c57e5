package dhtrelay

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

var (
	errBusy   = errors.New("dhtrelay: too many questions")
	errAnswer = errors.New("dhtrelay: wrong answer")
)

// maxQuestion bounds what of a handshake is passed on. Messages arrive in
// datagrams, so honest ones are smaller.
const maxQuestion = 4 << 10

// verdict is accept or deny.
type verdict struct{ accepted bool }

// ask sends a question with that number and returns the client's answer: a
// *verdict, *signature or *noiseReply.
func (s *session) ask(ctx context.Context, id alias, typ int, m message) (any, error) {
	answer := make(chan any, 1)
	s.mu.Lock()
	_, exists := s.questions[id]
	full := len(s.questions) >= s.opts.MaxQuestions
	if !exists && !full {
		s.questions[id] = answer
	}
	s.mu.Unlock()
	if exists || full {
		return nil, errBusy
	}
	defer func() {
		s.mu.Lock()
		delete(s.questions, id)
		s.mu.Unlock()
	}()
	s.send(typ, m)
	ctx, cancel := context.WithTimeout(ctx, s.opts.AnswerTimeout)
	defer cancel()
	select {
	case a := <-answer:
		return a, nil
	case <-s.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("dhtrelay: ask the client: %w", ctx.Err())
	}
}

// answer hands a client's answer to whoever has asked.
func (s *session) answer(id alias, a any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.questions[id]; ch != nil {
		delete(s.questions, id)
		ch <- a
	}
}

// admit asks a custodial client whether it wants a connection.
func (s *session) admit(ctx context.Context, srv *server, remote hypercrypto.PublicKey, payload []byte) bool {
	if len(payload) > maxQuestion {
		return false
	}
	id := s.next()
	a, err := s.ask(ctx, id, typeIncoming, &incoming{id: id, server: srv.alias, remote: remote, payload: payload})
	v, ok := a.(*verdict)
	return err == nil && ok && v.accepted
}

// delegate is a client that keeps its secret key, asked in the name of one of its
// streams, servers or queries.
type delegate struct {
	session *session
	public  hypercrypto.PublicKey

	// One of these, by which the client knows what is meant.
	stream alias
	server *server
	query  alias

	remote hypercrypto.PublicKey // of stream
	id     alias                 // the handshake of stream
}

var _ hyperdht.Delegate = (*delegate)(nil)

// PublicKey is the client's.
func (d *delegate) PublicKey() hypercrypto.PublicKey { return d.public }

// Handshake begins a handshake under a new number.
func (d *delegate) Handshake(initiator bool) hyperdht.Handshake {
	h := &remoteHandshake{delegate: d, initiator: initiator, id: d.session.next(), remote: d.remote}
	if initiator {
		d.id = h.id
	}
	return h
}

// Sign asks the client for a signature.
func (d *delegate) Sign(ctx context.Context, r hyperdht.SignRequest) (sig [64]byte, err error) {
	typ, signee, id := typeSignAnnounce, d.query, d.session.next()
	if r.Unannounce {
		typ = typeSignUnannounce
	}
	if d.server != nil {
		signee = d.server.client
	}
	a, err := d.session.ask(ctx, id, typ, &sign{id: id, signee: signee, token: r.Token, node: r.Node[:], relays: r.Relays})
	if err != nil {
		return sig, err
	}
	m, ok := a.(*signature)
	if !ok || len(m.signature) != len(sig) {
		return sig, errAnswer
	}
	return [64]byte(m.signature), nil
}

// remoteHandshake is a handshake that the client runs.
type remoteHandshake struct {
	delegate  *delegate
	initiator bool
	id        alias
	remote    hypercrypto.PublicKey
	secret    [32]byte // for hole punching
	streamID  [32]byte // of the initiator
}

var _ hyperdht.Handshake = (*remoteHandshake)(nil)

func (h *remoteHandshake) RemotePublicKey() hypercrypto.PublicKey { return h.remote }

func (h *remoteHandshake) HolepunchSecret() [32]byte { return h.secret }

func (h *remoteHandshake) RemoteStreamID() [32]byte { return h.streamID }

func (h *remoteHandshake) Send(ctx context.Context, payload []byte) ([]byte, error) {
	m := &noiseSend{initiator: h.initiator, id: h.id, stream: h.delegate.stream, payload: payload}
	return h.step(ctx, typeNoiseSend, m, len(payload))
}

func (h *remoteHandshake) Receive(ctx context.Context, msg []byte) ([]byte, error) {
	m := &noiseReceive{initiator: h.initiator, id: h.id, message: msg}
	if !h.initiator {
		m.server = h.delegate.server.alias
	}
	return h.step(ctx, typeNoiseReceive, m, len(msg))
}

func (h *remoteHandshake) step(ctx context.Context, typ int, m message, size int) ([]byte, error) {
	if size > maxQuestion {
		return nil, fmt.Errorf("%w: handshake of %d bytes", errAnswer, size)
	}
	a, err := h.delegate.session.ask(ctx, h.id, typ, m)
	if err != nil {
		return nil, err
	}
	r, ok := a.(*noiseReply)
	if !ok || len(r.payload) > maxQuestion {
		return nil, errAnswer
	}
	if r.complete {
		h.secret, h.streamID = r.holepunchSecret, r.streamID
	} else if !r.initiator && !h.initiator {
		h.remote = r.remote
	}
	if len(r.payload) == 0 {
		return nil, ErrRefused
	}
	return r.payload, nil
}

// clone returns a copy that outlives the message.
func (m *signature) clone() *signature {
	return &signature{id: m.id, signature: bytes.Clone(m.signature)}
}

func (m *noiseReply) clone() *noiseReply {
	c := *m
	c.payload = bytes.Clone(m.payload)
	return &c
}
