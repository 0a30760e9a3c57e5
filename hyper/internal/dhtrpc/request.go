package dhtrpc

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxDelay bounds the delay that a delayed ping may ask for, maxDelayed how
	// many there may be.
	maxDelay   = 10 * time.Second
	maxDelayed = 256
	maxChecks  = 10
)

// Request is a request from the network. It is valid until the handler returns
// unless it is cloned.
type Request struct {
	From    netip.AddrPort
	To      netip.AddrPort // where From sees us
	ID      *ID            // of a persistent node, else nil
	Token   *[32]byte      // has been checked
	Command uint64
	Target  *ID
	Value   []byte // nil if there is none
	Socket  Socket // where it arrived

	n        *Node
	tid      uint16
	internal bool
}

// Clone returns a copy that stays valid.
func (r *Request) Clone() *Request {
	c := *r
	if r.ID != nil {
		id := *r.ID
		c.ID = &id
	}
	if r.Token != nil {
		t := *r.Token
		c.Token = &t
	}
	if r.Target != nil {
		t := *r.Target
		c.Target = &t
	}
	if r.Value != nil {
		c.Value = append([]byte{}, r.Value...)
	}
	return &c
}

// Reply is what a request is answered with.
type Reply struct {
	Value  []byte // nil: none
	Code   uint64
	Token  bool // give a token
	Closer bool // name nodes nearer to the target, if there is one
	// To is who gets the answer; zero for the requester.
	To netip.AddrPort
	// Socket sends it; nil for the one the request arrived at.
	Socket Socket
}

var packets = sync.Pool{New: func() any { b := make([]byte, 0, 2*MaxPacket); return &b }}

// Reply answers the request.
func (r *Request) Reply(o Reply) {
	n := r.n
	if !o.To.IsValid() {
		o.To = r.From
	}
	if o.Socket == nil {
		o.Socket = r.Socket
	}
	m := message{response: true, tid: r.tid, to: o.To, code: o.Code, value: o.Value}
	var closerRoom [K]netip.AddrPort
	n.mu.Lock()
	if n.suspended || n.closed {
		n.mu.Unlock()
		return
	}
	m.id = n.ownIDLocked(o.Socket)
	if o.Token {
		m.tokenBytes = n.tokens.make(time.Now(), o.To.Addr())
		m.token = &m.tokenBytes
	}
	if o.Closer && r.Target != nil {
		m.closer = n.table.closest(closerRoom[:0], r.Target, K)
	}
	n.mu.Unlock()
	m.sendTo(o.Socket, o.To)
}

// sendTo sends m unless it is too large, which only a record from elsewhere can
// make it; silence is what such a requester gets anyway when packets are lost.
func (m *message) sendTo(s Socket, to netip.AddrPort) {
	b := packets.Get().(*[]byte)
	defer packets.Put(b)
	if *b = m.appendTo((*b)[:0]); len(*b) <= MaxPacket {
		_ = s.Send(*b, to)
	}
}

// Relay sends the request on to another node with a new value, as if it came
// from here: the answer has the same number and will be the answer to the first
// requester. socket nil means the one the request arrived at.
func (r *Request) Relay(value []byte, to netip.AddrPort, socket Socket) {
	if !to.Addr().Is4() || to.Port() == 0 {
		return
	}
	if socket == nil {
		socket = r.Socket
	}
	n := r.n
	m := message{tid: r.tid, to: to, internal: r.internal, command: r.Command, target: r.Target, value: value}
	n.mu.Lock()
	if n.suspended || n.closed {
		n.mu.Unlock()
		return
	}
	m.id = n.ownIDLocked(socket)
	n.mu.Unlock()
	m.sendTo(socket, to)
}

// HandlePacket takes a datagram that arrived at a socket. It does not keep b.
// What is no message of this protocol is ignored.
func (n *Node) HandlePacket(s Socket, b []byte, from netip.AddrPort) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if len(b) < 2 || b[0] != typeRequest && b[0] != typeResponse || !from.Addr().Is4() || from.Port() == 0 {
		return
	}
	var m message
	if m.decode(b) != nil {
		return
	}
	if m.response {
		n.handleResponse(s, &m, from)
		return
	}
	n.handleRequest(s, &m, from)
}

func (n *Node) handleRequest(s Socket, m *message, from netip.AddrPort) {
	now := time.Now()
	r := &Request{From: from, To: m.to, Token: m.token, Command: m.command, Target: m.target, Value: m.value, Socket: s,
		n: n, tid: m.tid, internal: m.internal}
	if m.id != nil && *m.id == NodeID(from) {
		r.ID = m.id
	}
	n.mu.Lock()
	if n.suspended || n.closed || !n.limiter.allow(now, from.Addr()) {
		n.mu.Unlock()
		return
	}
	forged := m.token != nil && !n.tokens.valid(now, from.Addr(), m.token)
	if r.ID != nil && !forged {
		n.heardLocked(s, from, m.to, r.ID)
	}
	n.mu.Unlock()
	switch {
	case forged:
		r.Reply(Reply{Code: CodeInvalidToken, Token: true, Closer: true})
	case r.internal:
		n.handleInternal(r)
	case n.o.Handler == nil || !n.o.Handler(r):
		r.Reply(Reply{Code: CodeUnknownCommand, Closer: true})
	}
}

func (n *Node) handleInternal(r *Request) {
	switch r.Command {
	case cmdPing:
		r.Reply(Reply{})
	case cmdPingNAT:
		if len(r.Value) < 2 {
			return
		}
		if port := binary.LittleEndian.Uint16(r.Value); port != 0 {
			r.Reply(Reply{To: netip.AddrPortFrom(r.From.Addr(), port)})
		}
	case cmdFindNode:
		if r.Target != nil {
			r.Reply(Reply{Closer: true})
		}
	case cmdDownHint:
		if len(r.Value) < 6 {
			return
		}
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte(r.Value)), binary.LittleEndian.Uint16(r.Value[4:]))
		n.hintedDown(addr)
		r.Reply(Reply{})
	case cmdDelayedPing:
		if len(r.Value) < 4 {
			return
		}
		delay := time.Duration(binary.LittleEndian.Uint32(r.Value)) * time.Millisecond
		if delay <= maxDelay {
			n.replyLater(r.Clone(), delay)
		}
	default:
		r.Reply(Reply{Code: CodeUnknownCommand, Closer: true})
	}
}

func (n *Node) replyLater(r *Request, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.delayed >= maxDelayed {
		return
	}
	n.delayed++
	n.tasks.Go(func() {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
			r.Reply(Reply{})
		case <-n.ctx.Done():
		}
		n.mu.Lock()
		n.delayed--
		n.mu.Unlock()
	})
}
