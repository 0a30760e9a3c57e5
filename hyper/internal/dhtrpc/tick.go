package dhtrpc

import (
	"context"
	"net/netip"
	"time"
)

const (
	tickInterval  = 5 * time.Second
	sleepGap      = 15 * time.Second
	recentTicks   = 12
	oldTicks      = 360
	stableTicks   = 240
	moreStable    = 720
	refreshTicks  = 60
	maxSwapping   = 3
	maxHintsATick = 50
)

func (n *Node) runTicks() {
	t := time.NewTicker(tickInterval)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
			n.onTick()
		}
	}
}

func (n *Node) onTick() {
	// Monotonic clocks stand still while a machine sleeps.
	now := time.Now().Round(0)
	n.mu.Lock()
	if n.suspended {
		n.mu.Unlock()
		return
	}
	slept := now.Sub(n.lastTick) > sleepGap
	if slept {
		n.wakeLocked()
	} else {
		n.tick++
	}
	n.lastTick = now
	if !n.bootstrapped {
		n.mu.Unlock()
		return
	}
	judge := false
	if n.o.Role == Adaptive && n.ephemeral {
		if n.stableTicks--; n.stableTicks <= 0 {
			if n.lastHost == n.nat.addr.Addr() {
				n.stableTicks = moreStable
			} else {
				judge = true
			}
		}
	}
	n.hints = 0
	var pings []*peer
	refresh := false
	if n.tick&7 == 0 {
		pings = n.leastRecentLocked()
		refresh = n.table.len() == 0
	}
	if n.refreshTicks--; n.refreshTicks <= 0 || n.tick&63 == 0 && n.table.len() < K {
		refresh = true
	}
	changed := n.health.turn() || slept
	n.mu.Unlock()

	for _, p := range pings {
		n.check(p)
	}
	if refresh {
		n.Refresh()
	}
	if judge {
		n.goTask(func() { n.judgeNetwork(n.ctx, false) })
	}
	if changed {
		n.changed()
	}
}

// wakeLocked distrusts all that was known before a sleep: every node counts as
// old and is pinged soon.
func (n *Node) wakeLocked() {
	n.tick += 2 * oldTicks
	n.tick += 8 - n.tick&7 - 2
	n.stableTicks = moreStable
	n.refreshTicks = 1
	n.lastHost = netip.Addr{}
	n.health = health{}
	if n.o.Role == Adaptive {
		n.ephemeral = true
	}
}

// leastRecentLocked returns the nodes to ping now.
func (n *Node) leastRecentLocked() []*peer {
	count := 5
	if len(n.calls) > 2 {
		count = 3
	}
	p := n.table.oldest
	if p != nil && n.tick-p.pinged < recentTicks {
		count = 2
	}
	var pings []*peer
	for ; p != nil && len(pings) < count; p = p.newer {
		if p.pinged != n.tick {
			pings = append(pings, p)
		}
	}
	return pings
}

// check pings a node of the table and drops it if it is not there or is not the
// same any more.
func (n *Node) check(p *peer) {
	n.mu.Lock()
	p.pinged = n.tick
	n.checks++
	n.mu.Unlock()
	done := func(r *Response, err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.checks--
		if err != nil || r.ID == nil {
			n.table.remove(p)
		}
	}
	if _, err := n.start(&Call{To: p.addr, Internal: true, Command: cmdPing}, nil, done); err != nil {
		n.mu.Lock()
		n.checks--
		n.mu.Unlock()
	}
}

// hintedDown looks after a node that another node says is gone.
func (n *Node) hintedDown(addr netip.AddrPort) {
	id := NodeID(addr)
	n.mu.Lock()
	p := n.table.get(&id)
	ok := p != nil && n.checks < maxChecks && (p.pinged < n.tick || p.downHints == 0)
	if ok {
		p.downHints++
	}
	n.mu.Unlock()
	if ok {
		n.check(p)
	}
}

// heardLocked learns from a packet of a node that sees us at to. id is nil for
// nodes that are not persistent; those count only if they answer us.
func (n *Node) heardLocked(s Socket, from, to netip.AddrPort, id *ID) {
	if n.o.Refuse != nil && n.o.Refuse(from) {
		return
	}
	if id == nil {
		n.sampleBootstrapLocked(from, to)
		return
	}
	p := n.table.get(id)
	if p == nil {
		n.addLocked(&peer{id: *id, addr: from, to: to})
		return
	}
	if s == n.socketLocked() && (p.sampled == 0 || n.tick-p.sampled >= oldTicks) {
		p.to, p.sampled = to, n.tick
		n.nat.add(to)
	}
	p.pinged, p.seen = n.tick, n.tick
	n.table.heard(p)
}

// sampleBootstrapLocked counts a few samples of nodes without id: the first ones
// a new node meets may not be persistent yet.
func (n *Node) sampleBootstrapLocked(from, to netip.AddrPort) {
	if len(n.sampledBoot) >= max(1, len(n.o.Bootstrap)) {
		return
	}
	for _, a := range n.sampledBoot {
		if a == from {
			return
		}
	}
	n.sampledBoot = append(n.sampledBoot, from)
	n.nat.add(to)
}

func (n *Node) addLocked(p *peer) {
	p.added, p.pinged, p.seen = n.tick, n.tick, n.tick
	if n.table.add(p) {
		if p.to.IsValid() {
			p.sampled = n.tick
			n.nat.add(p.to)
		}
		return
	}
	row := n.table.row(&p.id)
	if row == nil || n.table.get(&p.id) != nil || !n.bootstrapped || n.swapping >= maxSwapping || n.closed {
		return
	}
	var oldest *peer
	for _, q := range *row {
		if q.pinged != n.tick && (oldest == nil || q.pinged < oldest.pinged || q.pinged == oldest.pinged && q.added < oldest.added) {
			oldest = q
		}
	}
	if oldest == nil || n.tick-oldest.pinged < recentTicks && n.tick-oldest.added > oldTicks {
		return
	}
	oldest.pinged = n.tick
	n.swapping++
	n.tasks.Go(func() { n.swap(oldest, p) })
}

// swap puts p into the place of old if old is gone.
func (n *Node) swap(old, p *peer) {
	r, err := n.Ping(n.ctx, old.addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.swapping--
	if err == nil && r.ID != nil {
		return
	}
	n.table.remove(old)
	if n.table.get(&p.id) == nil {
		n.addLocked(p)
	}
}

// Refresh looks for new nodes in the background.
func (n *Node) Refresh() {
	n.mu.Lock()
	target := n.table.id
	if p := n.table.random(); p != nil {
		target = p.id
	}
	n.refreshTicks = refreshTicks
	n.mu.Unlock()
	n.goTask(func() { n.findNodes(n.ctx, target) })
}

// findNodes runs a query for nodes with little force.
func (n *Node) findNodes(ctx context.Context, target ID) {
	q := Query{Target: target, Internal: true, Command: cmdFindNode, background: true}
	for _, err := range n.Query(ctx, &q) {
		if err != nil {
			n.o.Log.Debug("refresh", "err", err)
		}
	}
}
