package dhtrelay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

var errServers = errors.New("dhtrelay: too many servers")

// server is a server of the client.
type server struct {
	alias, client alias
	cancel        context.CancelFunc
}

// onListen opens a server for the client.
func (s *session) onListen(m *listen) error {
	s.requests.take()
	srv := &server{alias: s.next(), client: m.alias}
	kp, err := m.key.check()
	if err != nil {
		s.refuse(srv, err)
		return nil
	}
	ctx, cancel := context.WithCancel(s.ctx)
	srv.cancel = cancel
	s.mu.Lock()
	_, exists := s.servers[m.alias]
	full := len(s.servers) >= s.opts.MaxServers
	if !exists && !full {
		s.servers[m.alias] = srv
	}
	s.mu.Unlock()
	switch {
	case exists:
		cancel()
		return fmt.Errorf("%w: server %d exists", errMessage, m.alias)
	case full:
		cancel()
		s.refuse(srv, errServers)
		return nil
	}
	key := Identity{KeyPair: kp}
	if kp == nil {
		key.Delegate = &delegate{session: s, public: m.key.public, server: srv}
	}
	s.wg.Go(func() {
		defer cancel()
		s.listen(ctx, srv, key)
	})
	return nil
}

// refuse tells that a server could not be opened. The protocol has no word for
// it but a server that is closed as soon as it is there.
func (s *session) refuse(srv *server, err error) {
	s.relay.opts.Log.Debug("dhtrelay: no server", "err", err)
	s.send(typeListening, &listening{alias: srv.alias, remote: srv.client, addr: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)})
	s.send(typeClosed, &number{srv.alias})
}

// listen runs a server until it is closed.
func (s *session) listen(ctx context.Context, srv *server, key Identity) {
	defer func() {
		s.mu.Lock()
		delete(s.servers, srv.client)
		s.mu.Unlock()
	}()
	admit := func(ctx context.Context, remote hypercrypto.PublicKey, payload []byte) bool {
		return s.admit(ctx, srv, remote, payload)
	}
	opening, cancel := context.WithTimeout(ctx, s.opts.RequestTimeout)
	open, err := s.relay.node.Listen(opening, key, admit)
	cancel()
	if err != nil {
		s.refuse(srv, err)
		return
	}
	s.send(typeListening, &listening{alias: srv.alias, remote: srv.client, addr: open.Addr()})
	for {
		conn, h, err := open.Accept(ctx)
		if err != nil {
			s.relay.opts.Log.Debug("dhtrelay: server ends", "err", err)
			break
		}
		s.incoming(srv, conn, h, key.KeyPair != nil)
	}
	if err := open.Close(); err != nil {
		s.relay.opts.Log.Debug("dhtrelay: close server", "err", err)
	}
	s.send(typeClosed, &number{srv.alias})
}

// incoming starts a stream that somebody has opened, if the client may have one
// more.
func (s *session) incoming(srv *server, conn Stream, h hyperdht.Handshake, custodial bool) {
	st := s.newStream(custodial)
	st.deadline = time.Now().Add(s.opts.AnswerTimeout)
	s.mu.Lock()
	full := s.count >= s.opts.MaxStreams
	if !full {
		s.count++
		s.unpaired[st.alias] = st
	}
	s.mu.Unlock()
	if full {
		st.cancel()
		conn.Close()
		return
	}
	s.wg.Go(func() { s.accept(st, srv, conn, h) })
}

// onClose closes a server.
func (s *session) onClose(m *number) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if srv := s.servers[m.alias]; srv != nil {
		srv.cancel()
	}
	return nil
}
