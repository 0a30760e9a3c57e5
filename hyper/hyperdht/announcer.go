package hyperdht

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

const (
	announceRelays = 3
	pingInterval   = 3 * time.Second
	pingRounds     = 100 // between two announcements
	lonelyRounds   = 10  // the same without any relay
)

// announcer keeps a server announced at the nodes nearest to its key, which are
// its relays, and keeps the NAT open for them.
type announcer struct {
	d      *DHT
	own    identity
	target dhtrpc.ID
	again  chan struct{} // announce now

	mu      sync.Mutex // guards what follows
	relays  []relayPair
	addrs   []netip.AddrPort
	gens    [3][]netip.AddrPort // the relays of the last announcements, newest first
	closest []netip.AddrPort
	cancel  context.CancelFunc // of the running loop, nil if there is none
	ended   chan struct{}      // closed when the loop has ended
}

func newAnnouncer(d *DHT, own identity, target dhtrpc.ID) *announcer {
	return &announcer{d: d, own: own, target: target, again: make(chan struct{}, 1)}
}

// state returns the current relays, and what to tell peers about them.
func (a *announcer) state() ([]relayPair, []netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.relays, a.addrs
}

// isRelay tells whether the server was announced at a node lately.
func (a *announcer) isRelay(node netip.AddrPort) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.gens {
		if slices.Contains(g, node) {
			return true
		}
	}
	return false
}

func (a *announcer) refresh() {
	select {
	case a.again <- struct{}{}:
	default:
	}
}

// start runs the loop; first is closed when the first announcement is done.
func (a *announcer) start(first chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithCancel(a.d.ctx)
	a.cancel, a.ended = cancel, make(chan struct{})
	ended := a.ended
	if !a.d.goTask(func() { defer close(ended); a.loop(ctx, first) }) {
		close(ended)
		close(first)
	}
}

// stop ends the loop and withdraws what was announced, as far as ctx lets it.
func (a *announcer) stop(ctx context.Context) {
	a.mu.Lock()
	cancel, ended := a.cancel, a.ended
	a.cancel = nil
	a.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-ended
	a.mu.Lock()
	nodes := a.gens[0]
	a.gens = [3][]netip.AddrPort{}
	a.relays, a.addrs = nil, nil
	a.mu.Unlock()
	a.unannounce(ctx, nodes)
}

func (a *announcer) loop(ctx context.Context, first chan struct{}) {
	_ = a.d.ready(ctx)
	a.update(ctx)
	close(first)
	for ctx.Err() == nil {
		a.keepAlive(ctx)
		if ctx.Err() == nil {
			a.update(ctx)
		}
	}
}

// keepAlive pings the relays until it is time for another announcement: after a
// while, or when one is gone or sees this node somewhere else, because then its
// route leads nowhere.
func (a *announcer) keepAlive(ctx context.Context) {
	for i := range pingRounds {
		relays, _ := a.state()
		if len(relays) == 0 && i == lonelyRounds {
			return
		}
		same, moved := a.pingAll(ctx, relays)
		if !same {
			// At once if this node has moved, unless it does all the time.
			if !moved || i == 0 {
				a.pause(ctx)
			}
			return
		}
		if !a.pause(ctx) {
			return
		}
	}
}

// pause waits for the time between two pings; false if it was ended.
func (a *announcer) pause(ctx context.Context) bool {
	t := time.NewTimer(pingInterval)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-a.again:
		return false
	case <-t.C:
		return true
	}
}

// pingAll tells whether all relays are there and see this node where they did,
// and whether one sees it at another host.
func (a *announcer) pingAll(ctx context.Context, relays []relayPair) (same, moved bool) {
	seen := make([]netip.AddrPort, len(relays))
	var wg sync.WaitGroup
	for i, r := range relays {
		wg.Go(func() {
			if res, err := a.d.node.Ping(ctx, r.relay); err == nil {
				seen[i] = res.To
			}
		})
	}
	wg.Wait()
	same = true
	for i, r := range relays {
		same = same && seen[i] == r.peer
		moved = moved || seen[i].IsValid() && seen[i].Addr() != r.peer.Addr()
	}
	if moved {
		a.d.node.ResetNAT(slices.DeleteFunc(seen, func(s netip.AddrPort) bool { return !s.IsValid() }))
	}
	return same, moved
}

// update announces the server at the nearest nodes, and withdraws it from those
// that no longer are.
func (a *announcer) update(ctx context.Context) {
	a.mu.Lock()
	old, nodes := a.gens[0], a.closest
	a.mu.Unlock()
	q := dhtrpc.Query{Target: a.target, Command: cmdFindPeer, Nodes: nodes}
	for _, err := range a.d.node.Query(ctx, &q) {
		if err != nil {
			a.d.o.Log.Debug("announce", "err", err)
		}
	}
	if ctx.Err() != nil {
		return
	}
	best := q.Closest[:min(len(q.Closest), announceRelays)]
	done := make([]bool, len(best))
	var wg sync.WaitGroup
	for i, r := range best {
		wg.Go(func() { done[i] = a.announceAt(ctx, r) })
	}
	wg.Wait()
	var gen []netip.AddrPort
	var relays []relayPair
	var addrs []netip.AddrPort
	if addr, ok := a.d.node.PublicAddr(); ok {
		addrs = append(addrs, addr)
	}
	for i, r := range best {
		if done[i] {
			gen = append(gen, r.From)
			relays = append(relays, relayPair{relay: r.From, peer: r.To})
			if len(addrs) < maxRelays {
				addrs = append(addrs, r.From)
			}
		}
	}
	a.mu.Lock()
	a.gens = [3][]netip.AddrPort{gen, a.gens[0], a.gens[1]}
	a.relays, a.addrs, a.closest = relays, addrs, q.ClosestNodes()
	a.mu.Unlock()
	if ctx.Err() == nil {
		a.unannounce(ctx, slices.DeleteFunc(slices.Clone(old), func(n netip.AddrPort) bool { return slices.Contains(gen, n) }))
	}
}

func (a *announcer) announceAt(ctx context.Context, r *dhtrpc.Response) bool {
	if r.Token == nil || r.ID == nil {
		return false
	}
	ann := announcement{peer: &Peer{PublicKey: a.own.public()}}
	value, err := a.own.sign(ctx, &ann, false, &a.target, r.ID, r.Token)
	if err != nil {
		return false
	}
	res, err := a.d.node.Request(ctx, dhtrpc.Call{To: r.From, Command: cmdAnnounce, Target: &a.target, Token: r.Token, Value: value})
	return err == nil && res.Code == dhtrpc.CodeNone
}

// unannounce withdraws the server from some nodes.
func (a *announcer) unannounce(ctx context.Context, nodes []netip.AddrPort) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			r, err := a.d.node.Request(ctx, dhtrpc.Call{To: n, Command: cmdFindPeer, Target: &a.target})
			if err == nil && r.Value != nil {
				a.d.unannounceAt(ctx, r, a.target, a.own)
			}
		})
	}
	wg.Wait()
}
