package hyperdht

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/udx"
)

const (
	lowTTL          = 5 // opens the own NAT without disturbing the other
	birthdaySockets = 256
	punchRounds     = 10
	randomProbes    = 1750
	randomPause     = 20 * time.Millisecond
	// maxPunchAddrs bounds the addresses that a remote may name.
	maxPunchAddrs = 8
)

var punchByte = []byte{0}

// punchers are the hole punches under way on a node's sockets. Single bytes that
// arrive are given to the one they are meant for.
type punchers struct {
	interval time.Duration

	mu         sync.Mutex // guards what follows
	byHost     map[netip.Addr]map[*puncher]bool
	random     bool // one with random ports runs
	lastRandom time.Time
}

func newPunchers(interval time.Duration) *punchers {
	return &punchers{interval: interval, byHost: make(map[netip.Addr]map[*puncher]bool)}
}

// startRandom takes the one place for a punch with random ports.
func (ps *punchers) startRandom() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.random || time.Since(ps.lastRandom) < ps.interval {
		return false
	}
	ps.random = true
	return true
}

func (ps *punchers) endRandom() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.random, ps.lastRandom = false, time.Now()
}

// arrived takes a byte at one of the node's own sockets. A client takes it for
// the open path. A server only answers: it waits for the stream's packets.
func (ps *punchers) arrived(s *udx.Socket, from netip.AddrPort) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	answer := false
	var exact, byHost *puncher
	ps.mu.Lock()
	for p := range ps.byHost[from.Addr()] {
		switch {
		case !p.initiator:
			answer = true
		case slices.Contains(p.exact, from):
			exact = p
		case byHost == nil || p.random:
			byHost = p
		}
	}
	clients := len(ps.byHost[from.Addr()])
	ps.mu.Unlock()
	if answer {
		_ = s.Send(punchByte, from)
	}
	if exact == nil && byHost != nil && (byHost.random || clients == 1) {
		exact = byHost
	}
	if exact != nil {
		exact.link.use(s, from, PathPunched)
	}
}

// puncher is one side of a hole punch.
type puncher struct {
	d         *DHT
	link      *link
	initiator bool
	socket    *udx.Socket
	direct    context.Context // ends when there is a path

	// Guarded by the mutex of punchers.
	exact  []netip.AddrPort // where the other side is expected
	hosts  []netip.Addr
	random bool
	ended  bool

	mu       sync.Mutex // guards what follows
	nat      natView
	remote   firewall
	addrs    []punchAddr
	punching bool // the remote is
	started  bool
}

type punchAddr struct {
	addr     netip.AddrPort
	verified bool // the remote receives there
}

func (d *DHT) newPuncher(l *link, initiator bool) *puncher {
	l.mu.Lock()
	p := &puncher{d: d, link: l, initiator: initiator, socket: d.socket(), direct: l.direct}
	l.punching = true
	l.mu.Unlock()
	// A relayed connection goes on punching until it is direct.
	context.AfterFunc(p.direct, p.end)
	return p
}

// expect makes bytes from an address count for p.
func (p *puncher) expect(addrs ...netip.AddrPort) {
	ps := p.d.punches
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, a := range addrs {
		if p.ended || !a.Addr().Is4() || len(p.exact) >= 4*maxPunchAddrs {
			return
		}
		if a.Port() != 0 && !slices.Contains(p.exact, a) {
			p.exact = append(p.exact, a)
		}
		if !slices.Contains(p.hosts, a.Addr()) {
			p.hosts = append(p.hosts, a.Addr())
			if ps.byHost[a.Addr()] == nil {
				ps.byHost[a.Addr()] = make(map[*puncher]bool)
			}
			ps.byHost[a.Addr()][p] = true
		}
	}
}

func (p *puncher) end() {
	ps := p.d.punches
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.ended = true
	for _, h := range p.hosts {
		if delete(ps.byHost[h], p); len(ps.byHost[h]) == 0 {
			delete(ps.byHost, h)
		}
	}
	p.hosts = nil
}

// open sends a byte that opens the own NAT for an address.
func (p *puncher) open(addr netip.AddrPort) {
	if usable(addr) {
		p.expect(addr)
		_ = p.socket.SendTTL(punchByte, addr, lowTTL)
	}
}

func (p *puncher) ping(addr netip.AddrPort) {
	if usable(addr) {
		_ = p.socket.Send(punchByte, addr)
	}
}

func (p *puncher) setNAT(v natView) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nat = v
}

// update takes what the remote says about itself. verified is a host at which it
// has proven to receive.
func (p *puncher) update(r *round, verified netip.Addr) {
	p.mu.Lock()
	old := p.addrs
	p.addrs = nil
	var expected []netip.AddrPort
	for _, a := range r.addresses {
		if len(p.addrs) == maxPunchAddrs || !a.Addr().Is4() {
			break
		}
		ok := a.Addr() == verified
		for _, o := range old {
			ok = ok || o.verified && o.addr.Addr() == a.Addr()
		}
		p.addrs = append(p.addrs, punchAddr{a, ok})
		expected = append(expected, a)
	}
	p.remote, p.punching = r.firewall, r.punching
	p.mu.Unlock()
	p.expect(expected...)
}

// isRandom tells whether one of the NATs has random ports.
func (p *puncher) isRandom() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote >= firewallRandom || p.nat.firewall >= firewallRandom
}

// punch starts sending until the link is direct or the tries are used up. It
// returns when the first packets are out, and false if there is no way. If a
// NAT has random ports the caller has called startRandom. done is closed at the
// end.
func (p *puncher) punch() (done <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || len(p.addrs) == 0 {
		return nil, false
	}
	local, remote := p.nat.firewall.coerce(), p.remote.coerce()
	addrs := slices.Clone(p.addrs)
	var verified netip.AddrPort
	for _, a := range addrs {
		if a.verified {
			verified = a.addr
			break
		}
	}
	var run func()
	switch {
	case local == firewallConsistent && remote == firewallConsistent:
		run = func() { p.punchConsistent(addrs) }
	case !verified.IsValid():
		return nil, false
	case local == firewallConsistent && remote >= firewallRandom:
		p.setRandom()
		run = func() { p.probeRandom(verified.Addr()) }
	case local >= firewallRandom && remote == firewallConsistent:
		p.setRandom()
		sockets := p.openBirthday(verified)
		run = func() { p.keepBirthday(sockets, verified) }
	default:
		return nil, false
	}
	p.started = true
	ch := make(chan struct{})
	return ch, p.d.goTask(func() { defer close(ch); run() })
}

func (p *puncher) setRandom() {
	p.d.punches.mu.Lock()
	p.random = true
	p.d.punches.mu.Unlock()
}

// pause waits and tells whether to go on.
func (p *puncher) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.direct.Done():
		return false
	}
}

func (p *puncher) punchConsistent(addrs []punchAddr) {
	// The server's first byte was sent before this began.
	if !p.initiator && !p.pause(time.Second) {
		return
	}
	for i := 1; i <= punchRounds; i++ {
		for _, a := range addrs {
			if a.verified || i%4 == 0 {
				p.ping(a.addr)
			}
		}
		if !p.pause(time.Second) {
			return
		}
	}
}

func (p *puncher) probeRandom(host netip.Addr) {
	defer p.d.punches.endRandom()
	for range randomProbes {
		p.ping(netip.AddrPortFrom(host, uint16(1000+rand.IntN(64536))))
		if !p.pause(randomPause) {
			return
		}
	}
}

// openBirthday opens many sockets, each of which gets a port of the NAT: with
// the other side probing at random one of them is hit soon.
func (p *puncher) openBirthday(to netip.AddrPort) []*udx.Socket {
	sockets := []*udx.Socket{p.socket}
	_ = p.socket.SendTTL(punchByte, to, lowTTL)
	local := netip.AddrPortFrom(p.socket.LocalAddr().Addr(), 0)
	for len(sockets) < birthdaySockets && p.direct.Err() == nil {
		s, err := p.d.transport.Listen(local, p.receive)
		if err != nil {
			break
		}
		sockets = append(sockets, s)
		_ = s.SendTTL(punchByte, to, lowTTL)
	}
	return sockets
}

// receive takes datagrams at the extra sockets.
func (p *puncher) receive(s *udx.Socket, b []byte, from netip.AddrPort) {
	if len(b) != 1 {
		p.d.node.HandlePacket(s, b, from)
		return
	}
	if p.initiator {
		p.link.use(s, from, PathPunched)
	} else {
		_ = s.Send(punchByte, from)
	}
}

func (p *puncher) keepBirthday(sockets []*udx.Socket, to netip.AddrPort) {
	defer p.d.punches.endRandom()
	defer p.closeBirthday(sockets)
	if !p.pause(100 * time.Millisecond) {
		return
	}
	for i := range randomProbes {
		s := sockets[i%len(sockets)]
		if i < len(sockets) {
			_ = s.SendTTL(punchByte, to, lowTTL)
		} else {
			_ = s.Send(punchByte, to)
		}
		if !p.pause(randomPause) {
			return
		}
	}
}

// closeBirthday closes the extra sockets but the one that the link uses; that
// one is closed with the link.
func (p *puncher) closeBirthday(sockets []*udx.Socket) {
	used := p.link.socketInUse()
	for _, s := range sockets {
		switch s {
		case p.socket:
		case used:
			p.d.closeWith(p.link, s)
		default:
			s.Close()
		}
	}
}

// closeWith closes a socket after the link has ended.
func (d *DHT) closeWith(l *link, s *udx.Socket) {
	l.atEnd(func() {
		// Closing waits for the socket's goroutines, one of which may be here. If
		// the DHT is closing, its transport closes the socket.
		d.goTask(func() { s.Close() })
	})
}

// cancelRandom gives the place of startRandom back unused.
func (ps *punchers) cancelRandom() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.random = false
}
