package dhtrpc

import (
	"context"
	"crypto/rand"
	randv2 "math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Node is one member of the network. Its methods may be called concurrently.
type Node struct {
	o Options // set once

	mu         sync.Mutex // guards what follows; never held while sending
	server     Socket     // the port that others know; nil while suspended
	client     Socket     // the port this node asks from while it is firewalled
	tokens     tokens
	limiter    limiter
	table      *table
	nat        sampler
	firewalled bool
	ephemeral  bool
	suspended  bool
	closed     bool

	calls   map[uint16]*call
	nextTID uint16
	window  window
	waiting []*call // sent when the window allows
	drain   *time.Timer
	delayed int // delayed pings under way
	health  health

	// The clock of the table, see tick.go.
	tick         int64
	lastTick     time.Time
	lastHost     netip.Addr
	refreshTicks int
	stableTicks  int
	swapping     int
	checks       int
	hints        int // down hints sent in this tick
	sampledBoot  []netip.AddrPort
	bootstrapped bool

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // goroutines of this node
	ready  chan struct{}  // closed after the first bootstrap
}

// New returns a node. It does nothing until Start.
func New(o Options) *Node {
	o = o.withDefaults()
	n := &Node{
		o:            o,
		limiter:      newLimiter(o.RequestsPerSecond),
		firewalled:   o.Reach != Open,
		ephemeral:    true,
		calls:        make(map[uint16]*call),
		nextTID:      uint16(randv2.Uint32()),
		tick:         1 + randv2.Int64N(100),
		refreshTicks: randv2.IntN(refreshTicks) + 1,
		stableTicks:  stableTicks,
		ready:        make(chan struct{}),
	}
	var id ID
	rand.Read(id[:])
	n.table = newTable(id)
	if o.TokenSecrets != nil {
		n.tokens = tokens{secrets: *o.TokenSecrets, turned: time.Now()}
	}
	if o.Addr.IsValid() {
		n.nat.add(o.Addr)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Start makes the node use its sockets, which the caller keeps and closes after
// Close, and joins the network in the background. The two sockets may be one
// and the same if the node need not find out whether it is reachable.
func (n *Node) Start(server, client Socket) {
	n.mu.Lock()
	n.server, n.client = server, client
	n.lastTick = time.Now().Round(0)
	n.mu.Unlock()
	n.goTask(func() {
		n.bootstrap(n.ctx)
		close(n.ready)
	})
	n.goTask(n.runTicks)
}

// goTask runs f in a goroutine that Close waits for. It does nothing after Close.
func (n *Node) goTask(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.tasks.Go(f)
	}
}

// Ready is closed when the node has bootstrapped, successfully or not.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Close fails what is under way and waits until the node has ended.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	failed := n.takeCallsLocked()
	n.mu.Unlock()
	n.cancel()
	for _, c := range failed {
		c.done(nil, ErrClosed)
	}
	n.tasks.Wait()
	return nil
}

// Suspend fails all requests and stops sending; received packets are ignored.
// The caller closes the sockets afterwards.
func (n *Node) Suspend() {
	n.mu.Lock()
	n.suspended = true
	failed := n.takeCallsLocked()
	n.window = window{}
	n.mu.Unlock()
	for _, c := range failed {
		c.done(nil, ErrSuspended)
	}
}

// Resume goes on with new sockets after Suspend. What was known about the
// network is checked again.
func (n *Node) Resume(server, client Socket) {
	n.mu.Lock()
	if !n.suspended {
		n.mu.Unlock()
		return
	}
	n.suspended = false
	n.server, n.client = server, client
	n.lastTick = time.Now().Round(0)
	n.wakeLocked()
	n.mu.Unlock()
	n.changed()
	n.Refresh()
}

// Status is a view of a node at one moment.
type Status struct {
	// Addr is how others see the node: invalid if unknown, with port 0 if every
	// node sees another port.
	Addr       netip.AddrPort
	ID         ID // meaningful unless Ephemeral
	Firewalled bool
	Ephemeral  bool
	Suspended  bool
	Online     bool // the network answers
	Nodes      int  // in the routing table
	Requests   int  // unanswered
}

// Status returns the current state.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Status{
		Addr:       n.nat.addr,
		ID:         n.table.id,
		Firewalled: n.firewalled,
		Ephemeral:  n.ephemeral,
		Suspended:  n.suspended,
		Online:     !n.health.offline,
		Nodes:      n.table.len(),
		Requests:   len(n.calls),
	}
}

// PublicAddr returns the address at which everybody can reach the server socket.
func (n *Node) PublicAddr() (netip.AddrPort, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.firewalled || n.server == nil || !n.nat.known() || n.server.LocalAddr().Port() != n.nat.addr.Port() {
		return netip.AddrPort{}, false
	}
	return n.nat.addr, true
}

// Socket returns the socket that requests leave from.
func (n *Node) Socket() Socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.socketLocked()
}

func (n *Node) socketLocked() Socket {
	if n.firewalled {
		return n.client
	}
	return n.server
}

// AddNode puts a node into the routing table without having heard from it.
func (n *Node) AddNode(addr netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addLocked(&peer{id: NodeID(addr), addr: addr})
}

// Nodes returns the addresses in the routing table, the one heard last first.
func (n *Node) Nodes() []netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	addrs := make([]netip.AddrPort, 0, n.table.len())
	for p := n.table.newest; p != nil; p = p.older {
		addrs = append(addrs, p.addr)
	}
	return addrs
}

func (n *Node) changed() {
	if n.o.Changed != nil {
		n.o.Changed()
	}
}

// PersistentID returns the id that others know the node by; ok is false for a
// node that is not part of the network.
func (n *Node) PersistentID() (id ID, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.table.id, !n.ephemeral
}
