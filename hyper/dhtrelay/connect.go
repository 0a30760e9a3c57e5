package dhtrelay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// onConnect opens a stream for the client.
func (s *session) onConnect(m *connect) error {
	s.requests.take()
	kp, err := m.key.check()
	if err != nil {
		s.send(typeDestroy, &destroy{alias: m.alias, err: describe(err)})
		return nil
	}
	st := s.newStream(kp != nil)
	st.client, st.claimed = m.alias, true
	s.mu.Lock()
	_, exists := s.streams[m.alias]
	full := s.count >= s.opts.MaxStreams
	if !exists && !full {
		s.count++
		s.streams[m.alias] = st
	}
	s.mu.Unlock()
	switch {
	case exists:
		return fmt.Errorf("%w: stream %d exists", errMessage, m.alias)
	case full:
		st.cancel()
		s.send(typeDestroy, &destroy{alias: m.alias, err: describe(errStreams)})
		return nil
	}
	own, remote := m.key.public, m.remote
	s.wg.Go(func() { s.connect(st, kp, own, remote) })
	return nil
}

// connect runs a stream that the client has asked for, until it ends.
func (s *session) connect(st *stream, kp *hypercrypto.KeyPair, own, remote hypercrypto.PublicKey) {
	defer s.forget(st)
	defer st.cancel()
	key := Identity{KeyPair: kp}
	d := &delegate{session: s, public: own, stream: st.client, remote: remote}
	if kp == nil {
		key.Delegate = d
	}
	ctx, cancel := context.WithTimeout(st.ctx, s.opts.RequestTimeout)
	conn, err := s.relay.node.Connect(ctx, key, remote)
	cancel()
	if err == nil && !st.attach(conn) {
		err = errDestroyed
	}
	if err != nil {
		s.send(typeDestroy, &destroy{alias: st.client, err: describe(err)})
		return
	}
	var from origin
	if st.custodial {
		hash := conn.HandshakeHash()
		from.hash = &hash
	} else {
		from.id = d.id
	}
	s.send(typeOpen, &open{alias: st.alias, remote: st.client, from: from})
	s.finish(st, st.serve(conn))
}

// accept runs a stream that somebody has opened to a server, until it ends.
func (s *session) accept(st *stream, srv *server, conn Stream, h hyperdht.Handshake) {
	defer s.forget(st)
	defer st.cancel()
	if !st.attach(conn) {
		return
	}
	m := connection{alias: st.alias, server: srv.alias, remote: conn.RemotePublicKey()}
	if st.custodial {
		hash := conn.HandshakeHash()
		m.from.hash = &hash
	} else if rh, ok := h.(*remoteHandshake); ok {
		m.from.id = rh.id
	}
	s.send(typeConnection, &m)
	s.finish(st, st.serve(conn))
}

// finish tells the client of a failed stream, unless it has caused that.
func (s *session) finish(st *stream, err error) {
	if err != nil && !errors.Is(err, errDestroyed) {
		s.send(typeDestroy, &destroy{paired: true, alias: st.alias, err: describe(err)})
	}
}

func (s *session) forget(st *stream) {
	s.mu.Lock()
	s.count--
	delete(s.unpaired, st.alias)
	if s.streams[st.client] == st {
		delete(s.streams, st.client)
	}
	s.mu.Unlock()
	st.drop()
}

// onConnected gives a stream the number by which the client calls it.
func (s *session) onConnected(m *connected) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.unpaired[m.remote]
	if st == nil {
		return nil // it has ended meanwhile
	}
	if s.streams[m.alias] != nil {
		return fmt.Errorf("%w: stream %d exists", errMessage, m.alias)
	}
	delete(s.unpaired, m.remote)
	s.streams[m.alias] = st
	st.claim(m.alias)
	return nil
}

func (st *stream) claim(client alias) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.client, st.claimed, st.used = client, true, true
	st.moved = time.Now()
}

// stream returns the client's stream of that number, or nil: messages for
// streams that have ended cross with the news.
func (s *session) stream(client alias) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[client]
}

func (s *session) onData(m *data) error {
	if st := s.stream(m.alias); st != nil {
		return st.enqueue(m.pieces)
	}
	return nil
}

func (s *session) onEnd(m *number) error {
	if st := s.stream(m.alias); st != nil {
		st.end()
	}
	return nil
}

// onDestroy ends a stream at once; the client may use its number again.
func (s *session) onDestroy(m *destroy) error {
	st := s.stream(m.alias)
	if !m.paired || st == nil {
		return nil
	}
	s.mu.Lock()
	delete(s.streams, m.alias)
	s.mu.Unlock()
	st.fail(errDestroyed)
	return nil
}

// maxError is the most of an error's text that a client is told.
const maxError = 200

func describe(err error) string {
	text := err.Error()
	return text[:min(len(text), maxError)]
}
