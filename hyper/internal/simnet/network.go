package simnet

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"
)

// Network is everything that is connected. Close it before the test ends.
type Network struct {
	*Segment // the Internet

	seed  uint64
	epoch time.Time
	wake  chan struct{}
	done  chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex // guards everything in the network but the queues of sockets
	lines  uint64
	events events
	order  uint64
	filter func(from, to netip.AddrPort, data []byte) bool
	closed bool
}

// packet is on its way.
type packet struct {
	from, to netip.AddrPort
	data     []byte
	ttl      int // hops left; 0 is many
	fragment bool
}

// New starts a network without hosts.
func New(seed uint64) *Network {
	n := &Network{seed: seed, epoch: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	n.Segment = &Segment{net: n, ports: make(map[netip.Addr]*port)}
	n.wg.Go(n.run)
	return n
}

// Close stops the network: packets on their way are lost, sockets stay silent.
func (n *Network) Close() {
	n.mu.Lock()
	was := n.closed
	n.closed = true
	n.mu.Unlock()
	if !was {
		close(n.done)
	}
	n.wg.Wait()
}

// SetFilter makes f decide about every packet that a host sends: false loses it.
// The data may be changed. nil removes the filter. f runs with the network
// locked.
func (n *Network) SetFilter(f func(from, to netip.AddrPort, data []byte) bool) {
	n.mu.Lock()
	n.filter = f
	n.mu.Unlock()
}

func (n *Network) now() time.Duration { return time.Since(n.epoch) }

// event is the arrival of a packet somewhere.
type event struct {
	at     time.Duration
	order  uint64
	p      packet
	arrive func(packet)
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

// schedule lets p arrive at an instant. mu must be held.
func (n *Network) schedule(at time.Duration, p packet, arrive func(packet)) {
	n.order++
	heap.Push(&n.events, event{at, n.order, p, arrive})
	if n.events[0].order == n.order {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// run lets packets arrive.
func (n *Network) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		wait := time.Hour
		for len(n.events) > 0 {
			if wait = n.events[0].at - n.now(); wait > 0 {
				break
			}
			e := heap.Pop(&n.events).(event)
			e.arrive(e.p)
			wait = time.Hour
		}
		n.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.done:
			return
		}
	}
}

// Segment is a network whose members reach each other directly: the Internet or
// the network behind a router.
type Segment struct {
	net    *Network
	ports  map[netip.Addr]*port // members by address
	router *Router              // the way out; nil for the Internet
}

// port is the place where a host or a router is attached to a segment.
type port struct {
	segment *Segment
	addrs   []netip.Addr
	up      *line // from the member
	down    *line // to the member
	deliver func(packet)
}

// attach adds a member. The lock of the network must be held.
func (s *Segment) attach(deliver func(packet), addrs []netip.Addr) *port {
	p := &port{segment: s, up: newLine(s.net), down: newLine(s.net), deliver: deliver}
	p.setAddrs(addrs)
	return p
}

func (p *port) setAddrs(addrs []netip.Addr) {
	p.detach()
	for _, a := range addrs {
		if p.segment.ports[a] != nil {
			panic("simnet: address " + a.String() + " is taken")
		}
		p.segment.ports[a] = p
	}
	p.addrs = append([]netip.Addr(nil), addrs...)
}

func (p *port) detach() {
	for _, a := range p.addrs {
		delete(p.segment.ports, a)
	}
	p.addrs = nil
}

func (p *port) setLink(l Link) { p.up.link, p.down.link = l, l }

// route sends a packet that has come up from a member on its way.
func (s *Segment) route(p packet) {
	if to := s.ports[p.to.Addr()]; to != nil {
		to.down.pass(s.net, p, to.deliver)
		return
	}
	if s.router != nil {
		s.router.out(p)
	}
}
