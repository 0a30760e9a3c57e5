package hyperswarm

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// link is the connection or the attempt to a remote key.
type link struct {
	swarm *Swarm // set once
	peer  *peer  // set once
	ours  bool   // set once: dialed by us

	// end ends the attempt or the connection, without waiting for the handler.
	// It is guarded by Swarm.mu and called without it.
	end  func()
	conn *Conn         // nil for an attempt; guarded by Swarm.mu
	gone chan struct{} // closed when the handler has returned
}

// pumpLocked starts the attempts that are due and allowed.
func (s *Swarm) pumpLocked() {
	if s.suspended || s.closed {
		return
	}
	now := time.Now()
	for p := range s.explicit {
		if s.attempts >= s.opts.MaxParallel {
			return
		}
		rested := now.Sub(p.ended) >= time.Duration(p.attempts)*time.Second
		if p.banned || s.links[p.key] != nil || p.attempts > lastExplicit || !rested {
			continue
		}
		if p.queued {
			s.queue.remove(p)
		}
		s.dialLocked(p)
	}
	next := s.budget.refill(now)
	pass := func(p *peer) bool { return !p.stranger() || s.budget.tokens > 0 }
	for s.roomLocked() {
		p := s.queue.pop(pass)
		if p == nil {
			break
		}
		if p.banned || s.links[p.key] != nil {
			s.settleLocked(p)
			continue
		}
		if p.stranger() {
			s.budget.tokens--
		}
		s.dialLocked(p)
	}
	if s.queue.length > 0 && s.budget.tokens == 0 {
		s.pumpLaterLocked(next)
	}
	if s.attempts == 0 && s.fullLocked() {
		s.flushAllLocked()
	}
}

func (s *Swarm) pumpLaterLocked(d time.Duration) {
	if s.wake != nil {
		s.wake.Reset(d)
		return
	}
	s.wake = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pumpLocked()
	})
}

// fullLocked tells whether nobody is dialed any more except peers of JoinPeer.
func (s *Swarm) fullLocked() bool {
	// Peers of JoinPeer do not wait for room, so room is left for them.
	factor := 4
	switch e := len(s.explicit); {
	case e == 0:
		factor = 1
	case e < 2:
		factor = 2
	case e < 4:
		factor = 3
	}
	return factor*len(s.links) >= s.opts.MaxPeers || s.clients >= s.opts.MaxClientConnections
}

func (s *Swarm) roomLocked() bool { return s.attempts < s.opts.MaxParallel && !s.fullLocked() }

// dialLocked starts an attempt. There must be no link to the peer.
func (s *Swarm) dialLocked(p *peer) {
	ctx, cancel := context.WithTimeout(s.ctx, attemptTime)
	l := &link{swarm: s, peer: p, ours: true, end: cancel, gone: make(chan struct{})}
	s.links[p.key] = l
	s.attempts++
	s.clients++
	s.stats.Attempted++
	o, needRelay := connectOptions{keyPair: s.opts.KeyPair, relays: p.relays}, p.relay
	s.runLocked(l, func() *Conn {
		defer cancel()
		o.relay = s.relayChoice(needRelay)
		return s.attempt(ctx, l, o)
	})
}

// runLocked has the connection that open returns handled, after what was there
// to the same key before.
func (s *Swarm) runLocked(l *link, open func() *Conn) {
	key := l.peer.key
	before := s.handled[key]
	s.handled[key] = l.gone
	s.wg.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.handled[key] == l.gone {
				delete(s.handled, key)
			}
			close(l.gone)
		}()
		conn := open()
		if before != nil {
			<-before
		}
		if conn != nil {
			s.serve(l, conn)
		}
	})
}

// attempt dials and returns the connection, or nil if there is none or another
// one was preferred meanwhile.
func (s *Swarm) attempt(ctx context.Context, l *link, o connectOptions) *Conn {
	p := l.peer
	if s.opts.Firewall != nil && s.opts.Firewall(p.key) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Refused++
		s.attempts--
		p.attempts = lastAttempt // until it is found again
		s.goneLocked(l)
		return nil
	}
	st, err := s.net.connect(ctx, p.key, o)
	if err != nil {
		s.opts.Log.Debug("dial", "peer", p.key, "err", err)
	}
	s.mu.Lock()
	if s.attempts--; err == nil && s.links[p.key] == l && ctx.Err() == nil && !p.banned && !s.suspended && !s.closed {
		defer s.mu.Unlock()
		conn := s.openLocked(l, st)
		p.opened(time.Now())
		s.stats.ClientsOpened++
		s.settleLocked(p)
		s.pumpLocked()
		return conn
	}
	if s.opts.Relays != nil && errors.Is(err, errUnreachable) {
		p.relay, p.attempts = true, 0
	}
	s.goneLocked(l)
	s.mu.Unlock()
	if err == nil {
		st.Close()
	}
	return nil
}

// openLocked makes a link a connection.
func (s *Swarm) openLocked(l *link, st stream) *Conn {
	l.conn = &Conn{Conn: st.Conn, swarm: s, peer: l.peer, path: st.path, dht: st.dht}
	l.end = func() { st.Close() }
	return l.conn
}

// serve runs the handler until the connection ends, and the other way round.
func (s *Swarm) serve(l *link, conn *Conn) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		<-conn.Done()
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.goneLocked(l)
	}()
	s.handle(ctx, conn)
	conn.Close()
	<-over
}

// goneLocked counts the end of a connection or attempt.
func (s *Swarm) goneLocked(l *link) {
	p := l.peer
	if s.links[p.key] == l {
		delete(s.links, p.key)
	}
	if l.ours {
		s.clients--
		s.stats.ClientsGone++
		p.closed(time.Now())
		s.retryLocked(p)
	} else {
		s.servers--
		s.stats.ServersGone++
	}
	s.settleLocked(p)
	s.disposeLocked(p)
	s.pumpLocked()
}

// refuse tells whether to refuse a peer that wants to connect.
func (s *Swarm) refuse(key hypercrypto.PublicKey) bool {
	refused := func() bool {
		if key == s.opts.KeyPair.Public {
			return true
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.peers[key]
		// Who is connected comes in place of what it has.
		full := s.servers >= s.opts.MaxServerConnections && s.links[key] == nil
		return s.closed || s.suspended || full || p != nil && p.banned
	}
	no := refused() || s.opts.Firewall != nil && s.opts.Firewall(key)
	if no {
		s.mu.Lock()
		s.stats.Refused++
		s.mu.Unlock()
	}
	return no
}

// accept takes connections until the server is closed.
func (s *Swarm) accept(srv server) {
	for {
		st, err := srv.accept(s.ctx)
		if err != nil {
			return
		}
		if _, err := s.admit(st); err != nil {
			st.Close()
		}
	}
}

// Adopt takes over a connection that was made by other means, dialed or
// accepted, as if the swarm had made it: it counts, it competes with another one
// to the same key, and the handler gets it. Adopt does not wait for the handler.
// After an error the connection is closed. path may be nil.
func (s *Swarm) Adopt(c *secretstream.Conn, path func() Path) (*Conn, error) {
	if path == nil {
		path = func() Path { return Path{} }
	}
	conn, err := s.admit(stream{Conn: c, path: path})
	if err != nil {
		c.Close()
	}
	return conn, err
}

// admit decides about a connection that came, and has it handled.
func (s *Swarm) admit(st stream) (*Conn, error) {
	key := st.RemotePublicKey()
	ours := st.IsInitiator()
	s.mu.Lock()
	old := s.links[key]
	p := s.peers[key]
	var err error
	switch {
	case s.closed:
		err = ErrClosed
	case s.suspended:
		err = ErrSuspended
	case key == s.opts.KeyPair.Public || p != nil && p.banned || !ours && old == nil && s.servers >= s.opts.MaxServerConnections:
		s.stats.Refused++
		err = ErrRefused
	case old != nil:
		s.stats.Duplicates++
		if !s.preferLocked(st, old) {
			// Is the old one alive?
			if old.conn != nil {
				old.conn.Probe()
			}
			err = ErrDuplicate
		}
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	p = s.peerLocked(key)
	l := &link{swarm: s, peer: p, ours: ours, gone: make(chan struct{})}
	end := func() {}
	if old != nil {
		end = old.end
	}
	conn := s.openLocked(l, st)
	s.links[key] = l
	if ours {
		s.clients++
		s.stats.ClientsOpened++
		p.opened(time.Now())
	} else {
		s.servers++
		s.stats.ServersOpened++
		p.dialed = false
	}
	if p.queued {
		s.queue.remove(p)
		s.settleLocked(p)
	}
	s.runLocked(l, func() *Conn { return conn })
	s.mu.Unlock()
	end()
	return conn, nil
}

// preferLocked tells whether a connection that came takes the place of a
// connection or attempt. Both sides decide alike: what was dialed by the side
// with the larger key stays, unless the peer shows by dialing that it has lost a
// connection that worked. An attempt of this side gives way to a connection that
// it has made by other means: the peer knows of that one only.
func (s *Swarm) preferLocked(st stream, old *link) bool {
	if old.conn == nil && st.IsInitiator() {
		return true
	}
	if old.conn != nil {
		if t := old.conn.Traffic(); t.MessagesReceived > 0 && t.MessagesSent > 0 {
			return true
		}
	}
	own, remote := s.opts.KeyPair.Public, st.RemotePublicKey()
	expected := bytes.Compare(own[:], remote[:]) > 0
	return expected == st.IsInitiator()
}

// relayChoice says whether the next attempt goes through a relay.
func (s *Swarm) relayChoice(force bool) relayChoice {
	if s.opts.Relays == nil {
		return relayChoice{}
	}
	keys, only := s.opts.Relays()
	r := relayChoice{only: only}
	if len(keys) > 0 && (force || only || s.net.randomized()) {
		r.through = &keys[rand.IntN(len(keys))]
	}
	return r
}
