package protomux

import (
	"iter"
	"sync/atomic"
)

// Channel is this side's end of one conversation. Its methods may be called from
// any goroutine and from handlers.
type Channel struct {
	mux  *Mux
	opts ChannelOptions // set once

	live    atomic.Bool // OnOpen has returned and the channel is not closed
	touched bool        // guarded by mux.hmu: it is in mux.touched

	// Guarded by mux.mu.
	local   uint64 // this side's number; 0 when there is none any more
	remote  uint64 // the other side's number; 0 while unknown
	state   state
	closing bool // Close was called while the other side had not answered
	sent    bool // a message was sent
}

type state uint8

const (
	stateWaiting state = iota // this side has opened, the other has not answered
	stateOpen                 // both have opened
	stateClosed
)

// Mux returns the mux of the channel.
func (c *Channel) Mux() *Mux { return c.mux }

// Protocol returns the protocol name the channel was opened with.
func (c *Channel) Protocol() string { return c.opts.Protocol }

// ID returns the id the channel was opened with. It must not be changed.
func (c *Channel) ID() []byte { return c.opts.ID }

// names yields all names that an open of the other side may have.
func (c *Channel) names() iter.Seq[name] {
	return func(yield func(name) bool) {
		if !yield(c.name(c.opts.Protocol)) {
			return
		}
		for _, a := range c.opts.Aliases {
			if !yield(c.name(a)) {
				return
			}
		}
	}
}

func (c *Channel) name(protocol string) name { return name{protocol, string(c.opts.ID)} }

// Send queues a message and returns at once. body is copied. On a closed channel
// it does nothing. A message above MaxMessage destroys the stream.
func (c *Channel) Send(typ int, body []byte) {
	m := c.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	if !c.mayLocked() {
		return
	}
	m.out.begin(c.local, uint64(typ), len(body))
	m.out.buf = append(m.out.buf, body...)
	m.endItem()
}

// SendFunc is Send for a message that is encoded on the way: enc appends the
// body to the slice it gets and returns the result. sizeHint is the expected
// size of the body in bytes; the closer, the fewer copies. enc runs under a lock
// of the mux and must not call it.
func (c *Channel) SendFunc(typ int, sizeHint int, enc func([]byte) []byte) {
	m := c.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	if !c.mayLocked() {
		return
	}
	c.encodeLocked(typ, sizeHint, enc)
}

// SendAlone is SendFunc for a message that travels in a frame of its own. The
// JavaScript side collects its answers to a batch in one frame, and fails when
// that gets too large: requests for large answers are sent alone.
func (c *Channel) SendAlone(typ int, sizeHint int, enc func([]byte) []byte) {
	m := c.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	if !c.mayLocked() {
		return
	}
	m.out.finish()
	c.encodeLocked(typ, sizeHint, enc)
	m.out.finish()
}

// mayLocked tells whether a message can be sent. mux.mu is held.
func (c *Channel) mayLocked() bool {
	if c.state == stateClosed || c.closing || c.mux.err != nil {
		return false
	}
	c.sent = true
	return true
}

func (c *Channel) encodeLocked(typ, sizeHint int, enc func([]byte) []byte) {
	m := c.mux
	m.out.begin(c.local, uint64(typ), sizeHint)
	n := len(m.out.buf)
	m.out.buf = enc(m.out.buf)
	if len(m.out.buf) < n {
		panic("protomux: encoder did not append")
	}
	m.endItem()
}

// Close closes the channel; OnClose follows. No message handler begins after
// Close has returned, but one may be running if Close is called from outside of
// the handlers. The other side learns of it at once, or, if it has not answered
// the open yet, when it does.
func (c *Channel) Close() {
	m := c.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case c.state == stateClosed || c.closing:
		return
	case c.state == stateWaiting:
		c.closing = true
	default:
		m.sendClose(c.local)
		m.table.release(c)
	}
	m.push(event{kind: eventClose, channel: c})
}

// Closed tells whether the channel is closed: by this side, by the other, or
// with the stream.
func (c *Channel) Closed() bool {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return c.state == stateClosed || c.closing
}

// Drained is false from the moment that more than Options.MaxQueued bytes wait
// to be written until OnDrain. Who sends much on behalf of the other side, such
// as answers to its requests, must stop meanwhile: nothing else bounds the queue
// but the end of the connection at Options.MaxUnsent.
func (c *Channel) Drained() bool { return !c.mux.congested.Load() }
