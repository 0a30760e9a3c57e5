package protomux

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
)

// maxPairers bounds the pair functions that run at a time; more opens wait for
// their turn.
const maxPairers = 32

// pairJob is a remote open that a pair function is to look at.
type pairJob struct {
	name name
	fn   func(id []byte)
}

// Open opens a channel. Messages may be sent at once; if the other side never
// opens its part OnClose tells. The slices in o must not be changed afterwards.
// The error is ErrClosed when the mux has ended.
func (m *Mux) Open(o ChannelOptions) (*Channel, error) {
	if n := len(o.Protocol) + len(o.ID) + len(o.Handshake); n > maxNames {
		return nil, fmt.Errorf("%w: open of %d bytes", ErrTooLarge, n)
	}
	c := &Channel{mux: m, opts: o}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, ErrClosed
	}
	if m.adopt(c) {
		return c, nil
	}
	remote, dead := m.table.takeRemote(c)
	for _, number := range dead {
		m.reject(number)
		m.room.Broadcast()
	}
	if remote == 0 && len(dead) > 0 {
		// The other side has closed what this open is an answer to.
		m.push(event{kind: eventClose, channel: c, remote: true})
		c.state = stateClosed
		return c, nil
	}
	m.table.allocate(c)
	m.sendOpen(c)
	if remote == 0 {
		c.state = stateWaiting
		m.table.await(c)
		return c, nil
	}
	entry := &m.table.remote[remote-1]
	opening := entry.opening
	*entry = remoteChannel{channel: c}
	c.remote = remote
	c.state = stateOpen
	m.push(event{kind: eventOpen, channel: c, opening: opening})
	return c, nil
}

// adopt lets c take over a channel that was closed before the other side has
// answered its open, if the open of c would be the same. mu is held.
func (m *Mux) adopt(c *Channel) bool {
	w := m.table.names[c.name(c.opts.Protocol)]
	if w == nil {
		return false
	}
	i := slices.IndexFunc(w.local, func(old *Channel) bool {
		return old.closing && !old.sent && old.opts.Protocol == c.opts.Protocol &&
			bytes.Equal(old.opts.Handshake, c.opts.Handshake) && slices.Equal(old.opts.Aliases, c.opts.Aliases)
	})
	if i < 0 {
		return false
	}
	old := w.local[i]
	c.local, old.local = old.local, 0
	c.state, old.state = stateWaiting, stateClosed
	m.table.local[c.local-1] = c
	for n := range c.names() {
		w := m.table.names[n]
		w.local[slices.Index(w.local, old)] = c
	}
	return true
}

// Pair registers fn for opens of the other side that no channel of this side
// waits for. With an id, fn gets opens of that id only; with nil or an empty
// id it gets all that have no function of their own. It replaces an earlier
// function.
//
// fn runs on its own goroutine, may wait, and may open the channel. When it
// returns and the channel was not opened the open is rejected. While fn runs,
// messages for the channel are kept, but not too many: then the whole mux stops
// reading, so fn must not wait for frames of this mux.
func (m *Mux) Pair(protocol string, id []byte, fn func(id []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pairs[name{protocol, string(id)}] = fn
}

// Unpair removes what Pair has registered. Functions under way go on.
func (m *Mux) Unpair(protocol string, id []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pairs, name{protocol, string(id)})
}

// startPairing asks the pair function about a remote open. It returns false if
// there is none. mu is held.
func (m *Mux) startPairing(n name) bool {
	fn := m.pairs[n]
	if fn == nil {
		fn = m.pairs[name{protocol: n.protocol}]
	}
	if fn == nil {
		return false
	}
	m.table.at(n).pairing++
	m.pairQueue = append(m.pairQueue, pairJob{n, fn})
	if m.pairing < maxPairers {
		m.pairing++
		m.helpers.Go(m.pairLoop)
	}
	return true
}

// pairLoop runs pair functions until none is queued.
func (m *Mux) pairLoop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.pairQueue) > 0 && m.err == nil {
		job := m.pairQueue[0]
		m.pairQueue = m.pairQueue[1:]
		m.mu.Unlock()
		job.fn([]byte(job.name.id))
		m.mu.Lock()
		m.endPairing(job.name)
	}
	m.pairing--
}

// endPairing rejects what nobody wants, once the last function for that name is
// done. mu is held.
func (m *Mux) endPairing(n name) {
	w := m.table.names[n]
	if w == nil {
		return // the mux has ended
	}
	if w.pairing--; w.pairing == 0 {
		for _, number := range w.remote {
			m.table.drop(number)
			m.reject(number)
		}
		w.remote = nil
		m.table.tidy(n)
		m.room.Broadcast()
	}
}

// reject answers a remote open that is not wanted. mu is held.
func (m *Mux) reject(number uint64) {
	m.out.begin(0, controlReject, 9)
	m.out.buf = compact.AppendUint(m.out.buf, number)
	m.endItem()
}

// sendOpen announces c. mu is held.
func (m *Mux) sendOpen(c *Channel) {
	o := &c.opts
	m.out.begin(0, controlOpen, 9+18+len(o.Protocol)+len(o.ID)+len(o.Handshake))
	b := compact.AppendUint(m.out.buf, c.local)
	b = compact.AppendString(b, o.Protocol)
	b = compact.AppendBuffer(b, o.ID)
	m.out.buf = append(b, o.Handshake...)
	m.endItem()
}

// sendClose tells that the channel with that number is closed. mu is held.
func (m *Mux) sendClose(number uint64) {
	m.out.begin(0, controlClose, 9)
	m.out.buf = compact.AppendUint(m.out.buf, number)
	m.endItem()
}
