package dhtrpc

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// bootstrap joins the network and finds out what the node may be.
func (n *Node) bootstrap(ctx context.Context) {
	forced := n.o.Role == Persistent
	var quick sync.Once
	var asked bool
	var mu sync.Mutex
	reached := false
	for range 2 {
		n.mu.Lock()
		target, check := n.table.id, n.firewalled && !forced && n.o.Reach == Detect
		n.mu.Unlock()
		q := Query{Target: target, Internal: true, Command: cmdFindNode, background: true}
		for r, err := range n.Query(ctx, &q) {
			if err != nil {
				n.o.Log.Debug("bootstrap", "err", err)
				break
			}
			if check {
				// One answer at the server socket while the query runs is reason
				// enough for the whole check.
				quick.Do(func() {
					asked = true
					n.pingNAT(r.From, func(r *Response, err error) {
						mu.Lock()
						reached = err == nil && r.Socket == n.serverSocket()
						mu.Unlock()
					})
				})
			}
		}
		mu.Lock()
		again := forced || asked && reached
		mu.Unlock()
		if ctx.Err() != nil || !again || !n.judgeNetwork(ctx, !forced) {
			break
		}
	}
	n.mu.Lock()
	n.bootstrapped = true
	n.mu.Unlock()
	n.changed()
}

func (n *Node) serverSocket() Socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// pingNAT asks a node to answer to the port of the server socket.
func (n *Node) pingNAT(to netip.AddrPort, done func(*Response, error)) {
	n.mu.Lock()
	server, client := n.server, n.client
	n.mu.Unlock()
	if server == nil {
		done(nil, ErrSuspended)
		return
	}
	value := binary.LittleEndian.AppendUint16(nil, server.LocalAddr().Port())
	if _, err := n.start(&Call{To: to, Internal: true, Command: cmdPingNAT, Value: value, Socket: client}, nil, done); err != nil {
		done(nil, err)
	}
}

// judgeNetwork finds out whether the node is reachable and, unless onlyReach,
// makes it persistent if it is. It tells whether something has changed.
func (n *Node) judgeNetwork(ctx context.Context, onlyReach bool) bool {
	n.mu.Lock()
	nat, firewalled, ephemeral := n.nat, n.firewalled, n.ephemeral
	if !ephemeral || onlyReach && !firewalled || firewalled && n.o.Reach == Firewalled || n.server == nil {
		n.mu.Unlock()
		return false
	}
	if !onlyReach {
		n.stableTicks = moreStable
		n.lastHost = nat.addr.Addr()
	}
	n.mu.Unlock()
	if !nat.known() {
		return false
	}
	found := nat
	if firewalled {
		var ok bool
		if found, ok = n.checkReach(ctx, nat.addr.Addr()); !ok {
			return false
		}
	}
	n.mu.Lock()
	n.firewalled = false
	if !n.ephemeral || n.nat.addr != nat.addr || found.addr.Addr() != nat.addr.Addr() || n.suspended {
		n.mu.Unlock()
		n.changed()
		return false
	}
	if !onlyReach {
		n.ephemeral = n.o.Role == Ephemeral
	}
	if firewalled {
		n.sampledBoot = nil
		n.nat = found
	}
	id := NodeID(found.addr)
	rebuilt := n.table.id != id
	if rebuilt {
		old := n.table
		n.table = newTable(id)
		for p := old.oldest; p != nil; {
			next := p.newer
			p.older, p.newer = nil, nil
			n.table.add(p)
			p = next
		}
	}
	again := rebuilt && n.bootstrapped
	n.mu.Unlock()
	if again {
		n.Refresh()
	}
	n.changed()
	return true
}

// checkReach asks up to five nodes to answer to the server socket and returns
// what address they saw. The node is reachable if most answers really arrive
// there, the host is the one known from the client socket, and the port is not
// translated.
func (n *Node) checkReach(ctx context.Context, host netip.Addr) (found sampler, ok bool) {
	const ask = 5
	n.mu.Lock()
	server := n.server
	var addrs []netip.AddrPort
	for p := n.table.newest; p != nil && len(addrs) < ask; p = p.older {
		addrs = append(addrs, p.addr)
	}
	n.mu.Unlock()
	if server == nil {
		return found, false
	}
	if len(addrs) < ask {
		for _, b := range n.bootstrapNodes(ctx) {
			known := false
			for _, a := range addrs {
				known = known || a == b
			}
			if !known {
				addrs = append(addrs, b)
			}
		}
	}
	answers := make(chan *Response, len(addrs))
	for _, a := range addrs {
		n.pingNAT(a, func(r *Response, err error) { answers <- r })
	}
	count := 0
	for range addrs {
		select {
		case r := <-answers:
			if r != nil && r.Socket == server {
				found.add(r.To)
				count++
			}
		case <-ctx.Done():
			return found, false
		}
	}
	need := 1
	if len(addrs) >= ask {
		need = 3
	}
	ok = count >= need && found.known() && found.addr.Addr() == host && found.addr.Port() == server.LocalAddr().Port()
	return found, ok
}

// bootstrapNodes resolves the configured nodes.
func (n *Node) bootstrapNodes(ctx context.Context) []netip.AddrPort {
	addrs := make([]netip.AddrPort, 0, len(n.o.Bootstrap))
	for _, s := range n.o.Bootstrap {
		if a, err := n.bootstrapNode(ctx, s); err == nil {
			addrs = append(addrs, a)
		} else {
			n.o.Log.Debug("bootstrap node", "node", s, "err", err)
		}
	}
	return addrs
}

func (n *Node) bootstrapNode(ctx context.Context, s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		i = len(s)
	}
	port, err := strconv.ParseUint(strings.TrimPrefix(s[i:], ":"), 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	host := s[:i]
	if ip, name, ok := strings.Cut(host, "@"); ok {
		if a, err := netip.ParseAddr(ip); err == nil {
			addr := netip.AddrPortFrom(a, uint16(port))
			if _, err := n.Ping(ctx, addr); err == nil {
				return addr, nil
			}
		}
		host = name
	}
	a, err := n.o.Resolve(ctx, host)
	return netip.AddrPortFrom(a, uint16(port)), err
}

// NAT returns how others see the socket that requests leave from, judged from
// the given number of samples, one per node.
func (n *Node) NAT() (addr netip.AddrPort, samples int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nat.addr, n.nat.n
}

// Probe pings up to count nodes once from a socket and returns where each sees
// it. Nodes that were heard last are spared if there are enough others, because
// they may be the same for all of us.
func (n *Node) Probe(ctx context.Context, s Socket, count int) []netip.AddrPort {
	const spare, enough = 5, 8
	nodes := n.Nodes()
	if len(nodes) >= enough {
		nodes = append(nodes[spare:], nodes[:spare]...)
	}
	if len(nodes) < count {
		for _, b := range n.bootstrapNodes(ctx) {
			if !slices.Contains(nodes, b) {
				nodes = append(nodes, b)
			}
		}
	}
	var seen []netip.AddrPort
	for len(nodes) > 0 && len(seen) < count && ctx.Err() == nil {
		batch := nodes[:min(len(nodes), count-len(seen))]
		nodes = nodes[len(batch):]
		answers := make(chan *Response, len(batch))
		for _, a := range batch {
			call := Call{To: a, Internal: true, Command: cmdPing, Socket: s, Once: true}
			if _, err := n.start(&call, nil, func(r *Response, err error) { answers <- r }); err != nil {
				answers <- nil
			}
		}
		for range batch {
			select {
			case r := <-answers:
				if r != nil {
					seen = append(seen, r.To)
				}
			case <-ctx.Done():
				return seen
			}
		}
	}
	return seen
}

// ResetNAT forgets what was known about the own address and takes new samples
// instead: the network has changed. If the host is another one the node finds
// out again whether it is reachable.
func (n *Node) ResetNAT(samples []netip.AddrPort) {
	n.mu.Lock()
	old := n.nat.addr
	n.nat = sampler{}
	for _, a := range samples {
		n.nat.add(a)
	}
	for p := n.table.newest; p != nil; p = p.older {
		p.sampled = 0
	}
	moved := n.o.Reach == Detect && old.IsValid() && n.nat.addr.Addr() != old.Addr()
	if moved {
		n.firewalled = true
		n.lastHost = netip.Addr{}
		n.stableTicks = stableTicks
		n.ephemeral = n.ephemeral || n.o.Role == Adaptive
	}
	n.mu.Unlock()
	if moved {
		n.goTask(func() { n.judgeNetwork(n.ctx, true) })
	}
}
