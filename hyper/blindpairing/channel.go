package blindpairing

import (
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// protocol is the name of the channels, whose id is the log's discovery key.
const protocol = "blind-pairing"

// Messages of a channel, each a buffer.
const (
	typeRequest = iota
	typeAnswer
)

// Largest messages that are looked at, in bytes. Who sends larger ones does so in
// vain.
const (
	maxRequest = 2 << 10
	maxAnswer  = 64 << 10
)

// topic is a log for which this side is member, candidate or both. Pairing.mu
// guards it.
type topic struct {
	p         *Pairing
	log       hypercrypto.DiscoveryKey
	member    *member
	candidate *asking
	links     map[*protomux.Mux]*link
}

// link is the channel of a topic on a connection.
type link struct {
	channel *protomux.Channel
	open    bool
}

// Attach offers pairing on a connection. Call it for every connection of the
// network, before its mux runs. The connection serves other protocols, too.
func (p *Pairing) Attach(m *protomux.Mux) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.forgetEndedLocked()
	p.muxes[m] = struct{}{}
	for _, t := range p.topics {
		t.attachLocked(m)
	}
}

// forgetEndedLocked forgets connections that have ended. mu is held.
func (p *Pairing) forgetEndedLocked() {
	for m := range p.muxes {
		select {
		case <-m.Done():
			delete(p.muxes, m)
		default:
		}
	}
}

// enter finds or makes the topic of a log and has take put this side's part into
// it.
func (p *Pairing) enter(log hypercrypto.DiscoveryKey, take func(*topic) error) (*topic, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	t := p.topics[log]
	if t == nil {
		t = &topic{p: p, log: log, links: make(map[*protomux.Mux]*link)}
	}
	if err := take(t); err != nil {
		return nil, err
	}
	p.topics[log] = t
	p.forgetEndedLocked()
	for m := range p.muxes {
		t.attachLocked(m)
	}
	return t, nil
}

// leave takes a part back. Without any the channels are closed.
func (t *topic) leave(drop func(*topic)) {
	t.p.mu.Lock()
	drop(t)
	var end []*protomux.Channel
	if t.member == nil && t.candidate == nil {
		delete(t.p.topics, t.log)
		for m := range t.p.muxes {
			m.Unpair(protocol, t.log[:])
		}
		for _, l := range t.links {
			end = append(end, l.channel)
		}
	}
	t.p.mu.Unlock()
	for _, c := range end {
		c.Close()
	}
}

// attachLocked opens the channel on a connection, now and whenever the other side
// does. Pairing.mu is held.
func (t *topic) attachLocked(m *protomux.Mux) {
	m.Pair(protocol, t.log[:], func([]byte) {
		t.p.mu.Lock()
		defer t.p.mu.Unlock()
		if t.p.topics[t.log] == t {
			t.openLocked(m)
		}
	})
	t.openLocked(m)
}

func (t *topic) openLocked(m *protomux.Mux) {
	if t.links[m] != nil {
		return
	}
	l := new(link)
	c, err := m.Open(protomux.ChannelOptions{
		Protocol: protocol, ID: t.log[:],
		OnOpen: func(c *protomux.Channel, _ []byte) error { t.opened(l); return nil },
		Messages: []func(*protomux.Channel, []byte) error{
			typeRequest: func(c *protomux.Channel, body []byte) error { t.onRequest(c, body); return nil },
			typeAnswer:  func(_ *protomux.Channel, body []byte) error { t.onAnswer(body); return nil },
		},
		OnClose: func(c *protomux.Channel, _ bool) { t.closed(m, l) },
	})
	if err != nil {
		return // the connection has ended
	}
	l.channel = c
	t.links[m] = l
}

// opened lets the candidate ask on a channel that both sides have.
func (t *topic) opened(l *link) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	l.open = true
	if t.candidate != nil {
		t.candidate.offer(l.channel)
	}
}

func (t *topic) closed(m *protomux.Mux, l *link) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.links[m] == l {
		delete(t.links, m)
	}
	if t.candidate != nil {
		t.candidate.forget(l.channel)
	}
}

// onRequest hands a request to the member. It does not wait.
func (t *topic) onRequest(c *protomux.Channel, body []byte) {
	b, ok := buffer(body, maxRequest)
	if !ok {
		return
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.member != nil {
		t.member.takeLocked(c, b)
	}
}

// onAnswer hands an answer to the candidate. It does not wait.
func (t *topic) onAnswer(body []byte) {
	b, ok := buffer(body, maxAnswer)
	if !ok {
		return
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.candidate != nil {
		t.candidate.take(b)
	}
}

// buffer copies the buffer in a message, unless it is too large.
func buffer(body []byte, limit int) ([]byte, bool) {
	r := compact.NewReader(body)
	b := r.Buffer()
	if r.Err() != nil || len(b) > limit {
		return nil, false
	}
	return append([]byte(nil), b...), true
}

// send sends a message with a buffer.
func send(c *protomux.Channel, typ int, b []byte) { c.Send(typ, compact.AppendBuffer(nil, b)) }
