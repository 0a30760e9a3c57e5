package dhtrpc

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

const (
	callTimeout = time.Second
	// callRetries is how often a single request is repeated, queryRetries the
	// same within a query.
	callRetries  = 3
	queryRetries = 5
	// maxWaiting bounds the requests that wait for the window.
	maxWaiting = 16384
	maxCalls   = 32768
)

// Call is a request to make. The zero value of the optional fields is right for
// most.
type Call struct {
	To       netip.AddrPort
	Internal bool
	Command  uint64
	Target   *ID
	Token    *[32]byte
	Value    []byte
	Socket   Socket        // nil: the one that Node.Socket returns
	Once     bool          // do not repeat the request
	Retries  int           // 0: the usual number
	Timeout  time.Duration // of each attempt. 0: one second
}

// Response is the answer to a request.
type Response struct {
	From   netip.AddrPort
	To     netip.AddrPort // where From sees us
	ID     *ID            // of a persistent node, else nil
	Token  *[32]byte
	Closer []netip.AddrPort
	Code   uint64
	Value  []byte // nil if there was none
	Socket Socket // where the answer arrived
	RTT    time.Duration
}

type call struct {
	n       *Node
	to      netip.AddrPort
	socket  Socket
	packet  []byte
	tid     uint16
	retries int
	timeout time.Duration
	slow    func() // after the first attempt; may be nil
	done    func(*Response, error)

	// Guarded by n.mu.
	sent    int
	slot    int64 // of the window, that the last attempt is in
	sentAt  time.Time
	timer   *time.Timer
	waiting bool
	ended   bool
}

// Request asks once and waits for the answer. An answer with an error code is an
// answer.
func (n *Node) Request(ctx context.Context, o Call) (*Response, error) {
	type result struct {
		r   *Response
		err error
	}
	ch := make(chan result, 1)
	c, err := n.start(&o, nil, func(r *Response, err error) { ch <- result{r, err} })
	if err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		if r.err != nil {
			return nil, fmt.Errorf("request to %v: %w", o.To, r.err)
		}
		return r.r, nil
	case <-ctx.Done():
		n.drop(c)
		return nil, context.Cause(ctx)
	}
}

// Ping asks for a sign of life.
func (n *Node) Ping(ctx context.Context, to netip.AddrPort) (*Response, error) {
	return n.Request(ctx, Call{To: to, Internal: true, Command: cmdPing})
}

// start begins a call. done is called once, from another goroutine, unless the
// call is dropped first.
func (n *Node) start(o *Call, slow func(), done func(*Response, error)) (*call, error) {
	c := &call{n: n, to: o.To, socket: o.Socket, retries: o.Retries, timeout: o.Timeout, slow: slow, done: done}
	if c.timeout == 0 {
		c.timeout = callTimeout
	}
	if o.Once {
		c.retries = 0
	} else if c.retries == 0 {
		c.retries = callRetries
	}
	if !o.To.Addr().Is4() || o.To.Port() == 0 {
		return nil, fmt.Errorf("dhtrpc: no IPv4 address to ask: %v", o.To)
	}
	now := time.Now()
	n.mu.Lock()
	switch {
	case n.closed:
		n.mu.Unlock()
		return nil, ErrClosed
	case n.suspended || n.server == nil:
		n.mu.Unlock()
		return nil, ErrSuspended
	case len(n.calls) >= maxCalls || len(n.waiting) >= maxWaiting:
		n.mu.Unlock()
		return nil, ErrBusy
	}
	for n.calls[n.nextTID] != nil {
		n.nextTID++
	}
	c.tid = n.nextTID
	n.nextTID++
	if c.socket == nil {
		c.socket = n.socketLocked()
	}
	m := message{tid: c.tid, to: o.To, id: n.ownIDLocked(c.socket), token: o.Token, internal: o.Internal, command: o.Command,
		target: o.Target, value: o.Value}
	c.packet = m.appendTo(make([]byte, 0, 128+len(o.Value)))
	if len(c.packet) > MaxPacket {
		n.mu.Unlock()
		return nil, fmt.Errorf("%w: request of %d bytes", ErrTooLarge, len(c.packet))
	}
	n.calls[c.tid] = c
	send := n.admitLocked(c, now)
	n.mu.Unlock()
	if send {
		c.send()
	}
	return c, nil
}

// ownIDLocked returns the id to show on a socket: that of a persistent node on
// its server socket.
func (n *Node) ownIDLocked(s Socket) *ID {
	if n.ephemeral || s != n.server {
		return nil
	}
	return &n.table.id
}

// admitLocked tells whether c may be sent now; else it waits its turn.
func (n *Node) admitLocked(c *call, now time.Time) bool {
	if len(n.waiting) > 0 || n.window.full(now) {
		c.waiting = true
		n.waiting = append(n.waiting, c)
		n.armDrainLocked(now)
		return false
	}
	n.sendingLocked(c, now)
	return true
}

func (n *Node) sendingLocked(c *call, now time.Time) {
	c.slot = n.window.sent(now)
	c.waiting = false
	c.sent++
	c.sentAt = now
	if c.timer == nil {
		c.timer = time.AfterFunc(c.timeout, c.expired)
	} else {
		c.timer.Reset(c.timeout)
	}
}

// send may fail: then it is as if the packet was lost.
func (c *call) send() { _ = c.socket.Send(c.packet, c.to) }

func (n *Node) armDrainLocked(now time.Time) {
	if n.drain == nil {
		n.drain = time.AfterFunc(n.window.next(now), func() { n.drainWaiting(true) })
	}
}

// drainWaiting sends what the window allows.
func (n *Node) drainWaiting(timer bool) {
	now := time.Now()
	var batch []*call
	n.mu.Lock()
	if timer {
		n.drain = nil
	}
	i := 0
	for i < len(n.waiting) && !n.window.full(now) {
		c := n.waiting[i]
		n.waiting[i] = nil
		i++
		if !c.ended {
			n.sendingLocked(c, now)
			batch = append(batch, c)
		}
	}
	if n.waiting = n.waiting[i:]; len(n.waiting) == 0 {
		n.waiting = nil
	} else {
		n.armDrainLocked(now)
	}
	n.mu.Unlock()
	for _, c := range batch {
		c.send()
	}
}

// expired is called when an attempt got no answer in time.
func (c *call) expired() {
	n := c.n
	now := time.Now()
	n.mu.Lock()
	if c.ended || c.waiting {
		n.mu.Unlock()
		return
	}
	if c.sent <= c.retries {
		send := n.admitLocked(c, now)
		first := c.sent == 1 && !send || c.sent == 2 && send
		n.mu.Unlock()
		if send {
			c.send()
		}
		if first && c.slow != nil {
			c.slow()
		}
		return
	}
	n.endLocked(c)
	n.health.failed()
	// Whoever does not answer leaves the table.
	id := NodeID(c.to)
	if p := n.table.get(&id); p != nil {
		n.table.remove(p)
	}
	n.mu.Unlock()
	c.done(nil, ErrTimeout)
}

func (n *Node) endLocked(c *call) {
	c.ended = true
	delete(n.calls, c.tid)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// drop forgets a call; done is not called any more. Its place in the window is
// free: the answer is most likely on its way.
func (n *Node) drop(c *call) {
	n.mu.Lock()
	more := false
	if !c.ended {
		n.endLocked(c)
		if c.sent > 0 && !c.waiting {
			n.window.answered(time.Now(), c.slot)
			more = len(n.waiting) > 0
		}
	}
	n.mu.Unlock()
	if more {
		n.drainWaiting(false)
	}
}

func (n *Node) takeCallsLocked() []*call {
	var calls []*call
	for _, c := range n.calls {
		calls = append(calls, c)
	}
	for _, c := range calls {
		n.endLocked(c)
	}
	n.waiting = nil
	if n.drain != nil {
		n.drain.Stop()
		n.drain = nil
	}
	return calls
}

// handleResponse gives a response to its call.
func (n *Node) handleResponse(s Socket, m *message, from netip.AddrPort) {
	now := time.Now()
	n.mu.Lock()
	c := n.calls[m.tid]
	if c == nil || c.to != from {
		n.mu.Unlock()
		return
	}
	n.endLocked(c)
	n.window.answered(now, c.slot)
	n.health.answered()
	r := &Response{From: from, To: m.to, Closer: m.closer, Code: m.code, Socket: s, RTT: now.Sub(c.sentAt)}
	if m.id != nil && *m.id == NodeID(from) {
		r.ID = m.id
	}
	r.Token = m.token
	if m.value != nil {
		r.Value = append([]byte{}, m.value...)
	}
	n.heardLocked(s, from, m.to, r.ID)
	more := len(n.waiting) > 0
	n.mu.Unlock()
	c.done(r, nil)
	if more {
		n.drainWaiting(false)
	}
}
