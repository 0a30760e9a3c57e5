package hyperdht

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/udx"
)

// DHT is a node of the network. Its methods may be called concurrently.
type DHT struct {
	o         Options        // set once
	transport *udx.Transport // set once
	node      *dhtrpc.Node   // set once
	router    *router        // set once
	store     *store         // set once
	punches   *punchers      // set once
	routes    *routeCache    // set once
	halfOpen  halfOpen       // has its own lock
	plugins   sync.Map       // name to *Plugin

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // all goroutines but those of the parts above

	mu         sync.Mutex // guards what follows
	server     *udx.Socket
	client     *udx.Socket
	bound      [2]netip.AddrPort // where the sockets were bound, to bind them again
	servers    map[*Server]bool
	links      map[*link]bool
	suspended  bool
	closed     bool
	wasOnline  bool
	wasAddress netip.AddrPort
}

// New opens the sockets of a node and joins the network in the background.
func New(o *Options) (*DHT, error) {
	d := &DHT{
		o:       o.withDefaults(),
		servers: make(map[*Server]bool),
		links:   make(map[*link]bool),
	}
	d.transport = udx.NewTransport(&udx.Options{Listen: d.o.Transport, Log: d.o.Log})
	d.router = newRouter(d.o.Limits)
	d.store = newStore(d.router, d.o.Limits)
	d.punches = newPunchers(d.o.RandomPunchInterval)
	d.routes = newRouteCache()
	d.halfOpen.init(d.o.MaxHalfOpen)
	d.node = dhtrpc.New(dhtrpc.Options{
		Bootstrap:         d.o.Bootstrap,
		Addr:              d.o.Addr,
		Role:              d.o.Role,
		Reach:             d.o.Reach,
		Handler:           d.handle,
		Refuse:            refuseNode,
		Changed:           d.networkChanged,
		RequestsPerSecond: d.o.RequestsPerSecond,
		Log:               d.o.Log,
		TokenSecrets:      d.o.tokenSecrets,
	})
	d.store.node = d.node
	d.ctx, d.cancel = context.WithCancel(context.Background())
	server, client, err := d.listen()
	if err != nil {
		d.transport.Close()
		return nil, err
	}
	d.node.Start(server, client)
	return d, nil
}

// NewBootstrapper starts the first node of a network of its own, which others
// name as their bootstrap node. addr is where they see it.
func NewBootstrapper(addr netip.AddrPort, o *Options) (*DHT, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if !addr.Addr().Is4() || addr.Addr().IsUnspecified() || addr.Port() == 0 {
		return nil, fmt.Errorf("hyperdht: a bootstrap node needs an IPv4 address and a port, not %v", addr)
	}
	if !c.Listen.IsValid() {
		c.Listen = netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())
	}
	if c.Bootstrap == nil {
		c.Bootstrap = []string{}
	}
	c.Addr, c.Role, c.Reach = addr, Persistent, Open
	return New(&c)
}

// Nodes that must not be in routing tables: they are not part of the network.
var refused = map[netip.AddrPort]bool{
	netip.MustParseAddrPort("134.209.28.98:49738"):  true,
	netip.MustParseAddrPort("167.99.142.185:49738"): true,
	netip.MustParseAddrPort("35.233.47.252:9400"):   true,
}

var refusedHost = netip.MustParseAddr("150.136.142.116")

func refuseNode(a netip.AddrPort) bool { return refused[a] || a.Addr() == refusedHost }

// portsToTry is how many ports from DefaultPort on a node tries.
const portsToTry = 5

// listen opens the two sockets, where they were before if possible.
func (d *DHT) listen() (server, client *udx.Socket, err error) {
	want := d.o.Listen
	any := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	var tries []netip.AddrPort
	if d.bound[0].IsValid() {
		tries = append(tries, d.bound[0])
	}
	if want.IsValid() {
		tries = append(tries, want)
		any = netip.AddrPortFrom(want.Addr(), 0)
	} else {
		for i := range uint16(portsToTry) {
			tries = append(tries, netip.AddrPortFrom(any.Addr(), DefaultPort+i))
		}
		tries = append(tries, any)
	}
	for _, a := range tries {
		if server, err = d.transport.Listen(a, d.receive); err == nil {
			break
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("hyperdht: listen: %w", err)
	}
	err = errors.New("unbound")
	if d.bound[1].IsValid() {
		client, err = d.transport.Listen(d.bound[1], d.receive)
	}
	if err != nil {
		client, err = d.transport.Listen(any, d.receive)
	}
	if err != nil {
		server.Close()
		return nil, nil, fmt.Errorf("hyperdht: listen: %w", err)
	}
	d.mu.Lock()
	d.server, d.client = server, client
	d.bound = [2]netip.AddrPort{server.LocalAddr(), client.LocalAddr()}
	d.mu.Unlock()
	return server, client, nil
}

// receive takes a datagram that belongs to no stream.
func (d *DHT) receive(s *udx.Socket, b []byte, from netip.AddrPort) {
	if len(b) == 1 {
		d.punches.arrived(s, from)
		return
	}
	d.node.HandlePacket(s, b, from)
}

// handle answers requests of this protocol.
func (d *DHT) handle(r *dhtrpc.Request) bool {
	switch r.Command {
	case cmdHandshake:
		d.router.handleHandshake(r)
		return true
	case cmdHolepunch:
		d.router.handleHolepunch(r)
		return true
	case cmdPlugin:
		return d.handlePlugin(r)
	}
	return d.store.handle(r)
}

func (d *DHT) sockets() (server, client *udx.Socket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server, d.client
}

// socket returns the socket that requests leave from and holes are punched for.
func (d *DHT) socket() *udx.Socket {
	s, _ := d.node.Socket().(*udx.Socket)
	return s
}

// goTask runs f in a goroutine that Close waits for; false after Close.
func (d *DHT) goTask(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.tasks.Go(f)
	return true
}

// ready waits for the first bootstrap.
func (d *DHT) ready(ctx context.Context) error {
	select {
	case <-d.node.Ready():
		return d.usable()
	case <-d.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *DHT) usable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return ErrClosed
	case d.suspended:
		return ErrSuspended
	}
	return nil
}

// Ready waits until the node has joined the network, as far as it can. The error
// is that of ctx, ErrClosed or ErrSuspended.
func (d *DHT) Ready(ctx context.Context) error { return d.ready(ctx) }

// KeyPair returns the identity of connections that name no other.
func (d *DHT) KeyPair() *hypercrypto.KeyPair { return d.o.KeyPair }

// LocalAddr returns the address of the known port.
func (d *DHT) LocalAddr() netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bound[0]
}

// LocalAddrs returns where peers on the same networks reach this node without
// any other node: what to give them as ConnectOptions.RelayAddresses.
func (d *DHT) LocalAddrs() []netip.AddrPort { return d.localAddrs() }

// Ping asks the node at an address for a sign of life and returns the time that
// took.
func (d *DHT) Ping(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	r, err := d.node.Ping(ctx, addr)
	if err != nil {
		return 0, err
	}
	return r.RTT, nil
}

// AddNode puts a node into the routing table, for a start without bootstrap nodes.
func (d *DHT) AddNode(addr netip.AddrPort) { d.node.AddNode(addr) }

// Nodes returns the nodes in the routing table, the one heard last first.
func (d *DHT) Nodes() []netip.AddrPort { return d.node.Nodes() }

// networkChanged is told by the node that its judgement of the network changed.
func (d *DHT) networkChanged() {
	s := d.node.Status()
	d.mu.Lock()
	back := s.Online && !d.wasOnline
	moved := d.wasAddress.IsValid() && s.Addr.Addr() != d.wasAddress.Addr()
	d.wasOnline, d.wasAddress = s.Online, s.Addr
	servers := d.serversLocked()
	d.mu.Unlock()
	if back || moved {
		for _, s := range servers {
			s.Refresh()
		}
		if d.o.Changed != nil {
			d.o.Changed()
		}
	}
}

func (d *DHT) serversLocked() []*Server {
	servers := make([]*Server, 0, len(d.servers))
	for s := range d.servers {
		servers = append(servers, s)
	}
	return servers
}

// dropLinks ends all connections and attempts.
func (d *DHT) dropLinks(err error) {
	d.mu.Lock()
	links := make([]*link, 0, len(d.links))
	for l := range d.links {
		links = append(links, l)
	}
	d.mu.Unlock()
	for _, l := range links {
		l.abort(err)
	}
}

// Suspend withdraws all servers, ends all connections and closes the sockets.
func (d *DHT) Suspend(ctx context.Context) error {
	d.mu.Lock()
	if d.closed || d.suspended {
		err := error(nil)
		if d.closed {
			err = ErrClosed
		}
		d.mu.Unlock()
		return err
	}
	d.suspended = true
	servers := d.serversLocked()
	d.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() { s.suspend(ctx) })
	}
	wg.Wait()
	d.dropLinks(ErrSuspended)
	d.node.Suspend()
	server, client := d.sockets()
	return errors.Join(closed(server.Close()), closed(client.Close()))
}

// closed drops the error of closing what is closed.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Resume reverses Suspend: the node listens again, on the same ports if they
// are free, and the servers are announced again.
func (d *DHT) Resume() error {
	d.mu.Lock()
	if d.closed || !d.suspended {
		err := error(nil)
		if d.closed {
			err = ErrClosed
		}
		d.mu.Unlock()
		return err
	}
	d.mu.Unlock()
	server, client, err := d.listen()
	if err != nil {
		return err
	}
	d.node.Resume(server, client)
	d.mu.Lock()
	d.suspended = false
	servers := d.serversLocked()
	d.mu.Unlock()
	for _, s := range servers {
		s.resume()
	}
	return nil
}

// closePatience bounds how long Close takes to withdraw announcements.
const closePatience = 2 * time.Second

// Close withdraws the servers, ends all connections and waits until the node has
// ended.
func (d *DHT) Close() error {
	d.mu.Lock()
	was := d.closed
	servers := d.serversLocked()
	d.mu.Unlock()
	if was {
		d.tasks.Wait()
		return nil
	}
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() { s.Close() })
	}
	wg.Wait()
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.dropLinks(ErrClosed)
	d.node.Close()
	d.tasks.Wait()
	return closed(d.transport.Close())
}

// NAT is a kind of network between this node and others.
type NAT int

// Kinds of NAT.
const (
	// NATUnknown: not enough nodes have answered yet.
	NATUnknown NAT = iota
	// NATOpen: strangers' packets arrive.
	NATOpen
	// NATConsistent: all nodes see the same address.
	NATConsistent
	// NATRandom: each node sees another port.
	NATRandom
)

// String returns a word.
func (n NAT) String() string {
	return [...]string{"unknown", "open", "consistent", "random"}[n]
}

// Status is a view of a node at one moment.
type Status struct {
	NAT NAT
	// Address is how others see the node; its port is 0 if they do not agree,
	// and it is invalid if even the host is unknown.
	Address    netip.AddrPort
	Persistent bool // others keep the node in their tables
	Online     bool // the network answers
	Suspended  bool
	Nodes      int // in the routing table
	Requests   int // unanswered
	HalfOpen   int // incoming handshakes that are no connections yet
	Conns      int // connections and attempts
}

// Status returns the current state.
func (d *DHT) Status() Status {
	s := d.node.Status()
	out := Status{Address: s.Addr, Persistent: !s.Ephemeral, Online: s.Online, Suspended: s.Suspended, Nodes: s.Nodes, Requests: s.Requests,
		HalfOpen: d.halfOpen.count()}
	switch {
	case !s.Firewalled:
		out.NAT = NATOpen
	case s.Addr.IsValid() && s.Addr.Port() != 0:
		out.NAT = NATConsistent
	case s.Addr.IsValid():
		out.NAT = NATRandom
	}
	d.mu.Lock()
	out.Conns = len(d.links)
	d.mu.Unlock()
	return out
}
