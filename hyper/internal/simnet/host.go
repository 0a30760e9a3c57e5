package simnet

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

// socketBuffer is how many bytes wait in a socket before more are lost.
const socketBuffer = 4 << 20

// Host is a machine with sockets. It may be in several segments.
type Host struct {
	net     *Network
	ports   []*port
	sockets map[uint16]*socket
	nextTry uint16
}

// Host adds a host with one or more addresses to the segment. It panics if an
// address is taken.
func (s *Segment) Host(addrs ...netip.Addr) *Host {
	h := &Host{net: s.net, sockets: make(map[uint16]*socket), nextTry: 40000}
	h.Attach(s, addrs...)
	return h
}

// Attach adds the host to one more segment. Packets to addresses that are in none
// of its segments leave by the first.
func (h *Host) Attach(s *Segment, addrs ...netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.ports = append(h.ports, s.attach(h.deliver, addrs))
}

// Move takes the host out of all its segments and puts it into another, or the
// same with other addresses. Sockets bound to no address go with it; packets on
// their way to the old addresses are lost.
func (h *Host) Move(s *Segment, addrs ...netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var link Link
	for i, p := range h.ports {
		if i == 0 {
			link = p.up.link
		}
		p.detach()
		p.deliver = func(packet) {}
	}
	p := s.attach(h.deliver, addrs)
	p.setLink(link)
	h.ports = []*port{p}
}

// SetLink sets the properties of all lines of the host. Packets on their way are
// not affected.
func (h *Host) SetLink(l Link) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for _, p := range h.ports {
		p.setLink(l)
	}
}

// Addrs returns the addresses of the host.
func (h *Host) Addrs() []netip.Addr {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var all []netip.Addr
	for _, p := range h.ports {
		all = append(all, p.addrs...)
	}
	return all
}

func (h *Host) has(a netip.Addr) bool {
	for _, p := range h.ports {
		for _, own := range p.addrs {
			if own == a {
				return true
			}
		}
	}
	return false
}

// Listen opens a socket. The address may be unspecified, the port 0.
func (h *Host) Listen(local netip.AddrPort) (udpio.Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !local.Addr().IsUnspecified() && !h.has(local.Addr()) {
		return nil, fmt.Errorf("simnet: listen on %v: %w", local, syscall.EADDRNOTAVAIL)
	}
	number := local.Port()
	if number == 0 {
		for h.sockets[h.nextTry] != nil || h.nextTry == 0 {
			h.nextTry++
		}
		number = h.nextTry
		h.nextTry++
	}
	if h.sockets[number] != nil {
		return nil, fmt.Errorf("simnet: listen on %v: %w", local, syscall.EADDRINUSE)
	}
	s := &socket{host: h, local: netip.AddrPortFrom(local.Addr(), number), wake: make(chan struct{}, 1)}
	h.sockets[number] = s
	return s, nil
}

// send puts a packet from a socket on the wire. The lock of the network must be
// held.
func (h *Host) send(s *socket, d *udpio.Datagram) {
	if len(h.ports) == 0 || h.net.closed {
		return
	}
	out := h.ports[0]
	for _, p := range h.ports {
		if p.segment.ports[d.Addr.Addr()] != nil {
			out = p
			break
		}
	}
	source := s.local.Addr()
	if source.IsUnspecified() {
		if len(out.addrs) == 0 {
			return
		}
		source = out.addrs[0]
	} else if !h.has(source) {
		return
	}
	p := packet{
		from:     netip.AddrPortFrom(source, s.local.Port()),
		to:       d.Addr,
		data:     append(make([]byte, 0, len(d.Data)), d.Data...),
		ttl:      int(d.TTL),
		fragment: d.Fragment,
	}
	if f := h.net.filter; f != nil && !f(p.from, p.to, p.data) {
		return
	}
	if h.has(p.to.Addr()) {
		h.net.schedule(h.net.now(), p, h.deliver)
		return
	}
	out.up.pass(h.net, p, out.segment.route)
}

// deliver hands a packet to the socket it is for.
func (h *Host) deliver(p packet) {
	s := h.sockets[p.to.Port()]
	if s == nil || !h.has(p.to.Addr()) || !s.local.Addr().IsUnspecified() && s.local.Addr() != p.to.Addr() {
		return
	}
	s.push(p)
}

// socket is a udpio.Conn.
type socket struct {
	host  *Host
	local netip.AddrPort
	wake  chan struct{}

	mu      sync.Mutex // guards what follows; taken after the lock of the network
	queue   []udpio.Datagram
	spare   []udpio.Datagram // the queue that was read last
	waiting int              // bytes in queue
	closed  bool
}

func (s *socket) push(p packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.waiting+len(p.data) > socketBuffer {
		return
	}
	data := p.data
	if len(data) > udpio.MaxDatagram {
		data = data[:udpio.MaxDatagram]
	}
	s.queue = append(s.queue, udpio.Datagram{Data: data, Addr: p.from})
	s.waiting += len(data)
	s.poke()
}

func (s *socket) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ReadBatch implements udpio.Conn.
func (s *socket) ReadBatch() ([]udpio.Datagram, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			s.poke()
			return nil, net.ErrClosed
		}
		if len(s.queue) > 0 {
			out := s.queue
			clear(s.spare)
			s.queue, s.spare, s.waiting = s.spare[:0], out, 0
			s.mu.Unlock()
			return out, nil
		}
		s.mu.Unlock()
		<-s.wake
	}
}

// WriteBatch implements udpio.Conn.
func (s *socket) WriteBatch(ds []udpio.Datagram) error {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	for i := range ds {
		s.host.send(s, &ds[i])
	}
	return nil
}

// LocalAddr implements udpio.Conn.
func (s *socket) LocalAddr() netip.AddrPort { return s.local }

// Close implements udpio.Conn.
func (s *socket) Close() error {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s.mu.Lock()
	was := s.closed
	s.closed, s.queue = true, nil
	s.mu.Unlock()
	s.poke()
	if was {
		return net.ErrClosed
	}
	delete(s.host.sockets, s.local.Port())
	return nil
}
