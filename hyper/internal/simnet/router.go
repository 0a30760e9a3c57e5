package simnet

import (
	"net/netip"
	"time"
)

// Dependence is on what of the remote end a router's decision depends.
type Dependence int

// The kinds of RFC 4787.
const (
	EndpointIndependent Dependence = iota
	AddressDependent
	AddressAndPortDependent
)

// NAT says how a router translates. The zero value is a full cone that keeps
// ports.
type NAT struct {
	// Mapping says which packets of a socket leave from the same outer port.
	Mapping Dependence
	// Filtering says whose packets are let in through an outer port.
	Filtering Dependence
	// RandomPorts makes outer ports random; otherwise the inner port is kept
	// where it is free.
	RandomPorts bool
	// Lifetime is how long a mapping lasts without a packet from inside. 0 is
	// for ever.
	Lifetime time.Duration
}

// Usual kinds of translators.
var (
	// Cone keeps mappings and lets in only those that were sent to.
	Cone = NAT{Filtering: AddressAndPortDependent}
	// Symmetric has a random outer port per destination.
	Symmetric = NAT{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, RandomPorts: true}
	// FullCone lets in everybody once a mapping exists.
	FullCone = NAT{}
)

// Router joins the network behind it to a segment.
type Router struct {
	*Segment // inside

	outer    *port
	nat      NAT
	mappings map[mappingKey]*mapping
	byPort   map[uint16]*mapping
	forwards map[uint16]netip.AddrPort
	all      netip.Addr // gets what is not mapped
}

// mappingKey is the inner socket, and as much of the remote as matters.
type mappingKey struct {
	inner  netip.AddrPort
	remote netip.AddrPort
}

type mapping struct {
	key     mappingKey
	port    uint16
	used    time.Duration
	sentTo  map[netip.AddrPort]bool // cut down to what filtering depends on
	removed bool
}

// Router adds a router with an address in this segment and an empty network
// behind it. Routers may be behind routers.
func (s *Segment) Router(outer netip.Addr, nat NAT) *Router {
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	r := &Router{nat: nat, forwards: make(map[uint16]netip.AddrPort)}
	r.Segment = &Segment{net: n, ports: make(map[netip.Addr]*port), router: r}
	r.reset()
	r.outer = s.attach(r.in, []netip.Addr{outer})
	return r
}

func (r *Router) reset() {
	r.mappings = make(map[mappingKey]*mapping)
	r.byPort = make(map[uint16]*mapping)
}

// SetLink sets the properties of the line between the router and its outer
// segment.
func (r *Router) SetLink(l Link) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.outer.setLink(l)
}

// SetOuter gives the router another outer address. All mappings are lost.
func (r *Router) SetOuter(a netip.Addr) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.outer.setAddrs([]netip.Addr{a})
	r.reset()
}

// Outer returns the outer address.
func (r *Router) Outer() netip.Addr {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.outer.addrs[0]
}

// Restart loses all mappings.
func (r *Router) Restart() {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.reset()
}

// Forward sends everything that comes for an outer port to a socket inside.
func (r *Router) Forward(outer uint16, to netip.AddrPort) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.forwards[outer] = to
}

// ForwardAll sends everything that no mapping is for to a host inside, to the
// same port.
func (r *Router) ForwardAll(to netip.Addr) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.all = to
}

// cut reduces a remote to what matters.
func (d Dependence) cut(a netip.AddrPort) netip.AddrPort {
	switch d {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// out translates a packet from inside and sends it on.
func (r *Router) out(p packet) {
	if p.ttl == 1 || p.to.Addr() == r.outer.addrs[0] {
		return
	}
	if p.ttl > 1 {
		p.ttl--
	}
	now := r.net.now()
	key := mappingKey{p.from, r.nat.Mapping.cut(p.to)}
	m := r.mappings[key]
	if m == nil || r.expired(m, now) {
		r.remove(m)
		m = &mapping{key: key, port: r.freePort(p.from, now), sentTo: make(map[netip.AddrPort]bool)}
		r.mappings[key], r.byPort[m.port] = m, m
	}
	m.used = now
	m.sentTo[r.nat.Filtering.cut(p.to)] = true
	p.from = netip.AddrPortFrom(r.outer.addrs[0], m.port)
	r.outer.up.pass(r.net, p, r.outer.segment.route)
}

func (r *Router) expired(m *mapping, now time.Duration) bool {
	return r.nat.Lifetime > 0 && now-m.used > r.nat.Lifetime
}

func (r *Router) remove(m *mapping) {
	if m != nil && !m.removed {
		m.removed = true
		delete(r.mappings, m.key)
		delete(r.byPort, m.port)
	}
}

func (r *Router) freePort(inner netip.AddrPort, now time.Duration) uint16 {
	free := func(port uint16) bool {
		m := r.byPort[port]
		if m != nil && r.expired(m, now) {
			r.remove(m)
			m = nil
		}
		to, forwarded := r.forwards[port]
		return m == nil && (!forwarded || to == inner)
	}
	if !r.nat.RandomPorts && free(inner.Port()) {
		return inner.Port()
	}
	for {
		if port := uint16(1024 + r.outer.up.rng.IntN(1<<16-1024)); free(port) {
			return port
		}
	}
}

// in lets a packet from outside in, if it may.
func (r *Router) in(p packet) {
	if p.ttl == 1 {
		return
	}
	if p.ttl > 1 {
		p.ttl--
	}
	if p.to.Addr() != r.outer.addrs[0] {
		return // the address has changed since
	}
	port := p.to.Port()
	m := r.byPort[port]
	switch to, ok := r.forwards[port]; {
	case ok:
		p.to = to
	case m != nil && !r.expired(m, r.net.now()) && m.sentTo[r.nat.Filtering.cut(p.from)]:
		p.to = m.key.inner
	case m == nil && r.all.IsValid():
		p.to = netip.AddrPortFrom(r.all, port)
	default:
		return
	}
	if r.ports[p.to.Addr()] != nil {
		r.route(p)
	}
}
