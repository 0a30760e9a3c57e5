package blindpeer

import (
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// The wakeup channel of a base: peers that know its key tell each other which logs
// have something new. Its id is the discovery key of the base.
const (
	wakeupProtocol = "wakeup"
	wakeupLookup   = 0
	wakeupAnnounce = 1
	wakeupInfo     = 2

	maxWakers    = 1024 // on one connection
	maxAnnounced = 32   // logs in an announcement
)

// waker is a client that wants to hear of the logs of a base.
type waker struct {
	c  *conn
	g  *group
	ch *protomux.Channel // set once, before the waker can be found

	// Guarded by Server.mu.
	proven bool
	active bool
}

// onWakeup answers a client that opens the channel of a base that is known here.
func (c *conn) onWakeup(id []byte) {
	if len(id) != 32 {
		return
	}
	c.s.mu.Lock()
	g := c.s.ledger.groups[hypercrypto.DiscoveryKey(id)]
	c.s.mu.Unlock()
	if g != nil {
		c.listen(g.key)
	}
}

// listen opens the wakeup channel of a base, unless it is.
func (c *conn) listen(base hypercrypto.Key) {
	s, dk := c.s, base.Discovery()
	w := &waker{c: c}
	s.mu.Lock()
	if c.wakers[dk] != nil || len(c.wakers) >= maxWakers {
		s.mu.Unlock()
		return
	}
	w.g = s.ledger.group(base)
	w.g.wakers[w] = struct{}{}
	c.wakers[dk] = w
	s.mu.Unlock()
	stream := c.m.Stream()
	proof := wakeupProof(stream, base, stream.IsInitiator())
	hello := append(compact.AppendUint(nil, 0), proof[:]...)
	hello = compact.AppendUint(hello, 0) // a mirror is not active: it wants nothing
	_, err := c.m.Open(protomux.ChannelOptions{
		Protocol: wakeupProtocol, ID: slices.Clone(dk[:]), Handshake: hello,
		OnOpen: w.onOpen,
		Messages: []func(*protomux.Channel, []byte) error{
			wakeupLookup:   w.onLookup,
			wakeupAnnounce: func(*protomux.Channel, []byte) error { return nil }, // mirrors keep what they are asked to
			wakeupInfo:     w.onInfo,
		},
		OnClose: func(*protomux.Channel, bool) { s.mu.Lock(); defer s.mu.Unlock(); w.leaveLocked() },
	})
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.leaveLocked()
	}
}

// leaveLocked needs Server.mu.
func (w *waker) leaveLocked() {
	delete(w.g.wakers, w)
	if dk := w.g.key.Discovery(); w.c.wakers[dk] == w {
		delete(w.c.wakers, dk)
	}
	w.c.s.ledger.tidy(w.g)
}

// leaveLocked ends what the connection takes part in. It needs Server.mu.
func (c *conn) leaveLocked() {
	for _, w := range c.wakers {
		w.leaveLocked()
	}
}

// wakeupProof proves that its sender knows the key of the base.
func wakeupProof(s protomux.Stream, base hypercrypto.Key, initiator bool) hypercrypto.Hash {
	ns := hypercrypto.Namespace("wakeup", 1)
	if initiator {
		ns = hypercrypto.Namespace("wakeup", 0)
	}
	hash := s.HandshakeHash()
	return hypercrypto.Sum(ns[:], base[:], hash[:])
}

// onOpen reads uint version, 32 proof, uint flags (1 active).
func (w *waker) onOpen(ch *protomux.Channel, handshake []byte) error {
	r := compact.NewReader(handshake)
	r.Uint()
	proof := hypercrypto.Hash(r.Fixed32())
	flags := r.Uint()
	stream := ch.Mux().Stream()
	if r.Err() != nil || proof != wakeupProof(stream, w.g.key, !stream.IsInitiator()) {
		ch.Close()
		return nil
	}
	w.c.s.mu.Lock()
	w.ch, w.proven = ch, true
	w.c.s.mu.Unlock()
	w.setActive(flags&1 != 0)
	return nil
}

func (w *waker) onInfo(_ *protomux.Channel, body []byte) error {
	r := compact.NewReader(body)
	flags := r.Uint()
	if err := r.Err(); err != nil {
		return err
	}
	w.setActive(flags&1 != 0)
	return nil
}

func (w *waker) onLookup(*protomux.Channel, []byte) error {
	w.announce()
	return nil
}

// setActive takes over whether the client wants to hear. Once it does it is told
// what is newest.
func (w *waker) setActive(active bool) {
	w.c.s.mu.Lock()
	was := w.active
	w.active = active
	w.c.s.mu.Unlock()
	if active && !was {
		w.announce()
	}
}

// announce tells the client what is newest.
func (w *waker) announce() {
	s := w.c.s
	s.mu.Lock()
	var logs []Log
	if w.proven {
		logs = w.g.latest(maxAnnounced)
	}
	if len(logs) > 0 {
		s.stats.Wakeups++
	}
	s.mu.Unlock()
	if len(logs) > 0 {
		w.ch.Send(wakeupAnnounce, appendLogs(nil, logs))
	}
}

// wake tells those who want to hear of a log that it has grown, and do not exchange
// it already. s.change is held.
func (s *Server) wake(e *entry) {
	if e.Referrer == nil || e.Length == 0 {
		return
	}
	have := make(map[hypercrypto.PublicKey]bool)
	for _, p := range e.open.core.Peers() {
		have[p.PublicKey()] = true
	}
	message := appendLogs(nil, []Log{{Key: e.Key, Length: e.Length}})
	s.mu.Lock()
	var list []*waker
	for w := range s.ledger.group(*e.Referrer).wakers {
		if w.proven && !have[w.c.key] {
			list = append(list, w)
		}
	}
	s.stats.Wakeups += uint64(len(list))
	s.mu.Unlock()
	for _, w := range list {
		w.ch.Send(wakeupAnnounce, message)
	}
}
