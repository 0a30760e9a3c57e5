package node

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// Limits of what strangers can make the node hold.
const (
	handshakeTime  = 10 * time.Second
	maxConnections = 512
)

// network holds the node's connections: listeners and peers to connect to, each
// for as long as at least one request asks for it.
type network struct {
	// speak speaks with a peer until the connection ends.
	speak func(ctx context.Context, s protomux.Stream) error
	// finding tells readers that peers are looked for until done is called.
	finding   func() (done func())
	keyPair   *hypercrypto.KeyPair
	bandwidth *bandwidth
	log       *slog.Logger
	swarm     *hyperswarm.Swarm // holds all connections, one per remote key
	watches   watches
	links     links

	ctx    context.Context // ends when the network closes
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{} // limits incoming connections

	mu        sync.Mutex // guards what follows
	listeners map[string]*listener
	dialers   map[string]*dialer
	claimed   map[hypercrypto.PublicKey]bool // peers that a handshake is about to end with
	dht       *dhtSettings                   // nil until a request wants the DHT
	running   *hyperdht.DHT                  // nil until the swarm needs it
	named     map[hypercrypto.PublicKey]bool // peers that are wanted by key
}

// newNetwork returns the connections of the identity with that key pair. speak is
// told of each of them. finding may be nil.
func newNetwork(keyPair *hypercrypto.KeyPair, speak func(context.Context, protomux.Stream) error, finding func() func(), bandwidth *bandwidth, log *slog.Logger) *network {
	if finding == nil {
		finding = func() func() { return func() {} }
	}
	n := &network{speak: speak, finding: finding, keyPair: keyPair, bandwidth: bandwidth, log: log, slots: make(chan struct{}, maxConnections),
		links: links{log: log}, listeners: make(map[string]*listener), dialers: make(map[string]*dialer),
		claimed: make(map[hypercrypto.PublicKey]bool), named: make(map[hypercrypto.PublicKey]bool)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.swarm = newSwarm(n)
	return n
}

// close ends all connections and waits for them.
func (n *network) close() {
	n.cancel()
	n.mu.Lock()
	for _, l := range n.listeners {
		l.Close()
	}
	n.mu.Unlock()
	if err := n.swarm.Close(); err != nil {
		n.log.Debug("close swarm", "err", err)
	}
	n.wg.Wait()
}

// Join implements [api.Network].
func (n *network) Join(ctx context.Context, c api.Connect, report func(api.Peer)) (listen []string, leave func(), err error) {
	var undo []func()
	leave = sync.OnceFunc(func() {
		for _, fn := range slices.Backward(undo) {
			fn()
		}
	})
	if c.Swarm != nil && (len(c.Rooms) > 0 || len(c.Mirrors) > 0 || c.ByKey) {
		if err := n.settle(c.Swarm); err != nil {
			return nil, nil, err
		}
	}
	if _, only := n.relays(); only {
		c.LAN = nil // neighbours would see where this machine is
	}
	var ports []uint16 // for the local link
	for _, address := range n.wanted(&c) {
		l, release, err := n.listen(ctx, address)
		if err != nil {
			leave()
			return nil, nil, err
		}
		undo = append(undo, release)
		if c.LAN != nil && onLink(l.Addr(), c.LAN.Interfaces) {
			ports = append(ports, uint16(l.Addr().(*net.TCPAddr).Port))
		}
	}
	for _, address := range c.Peers {
		_, release, err := n.dial(address, false, report)
		if err != nil {
			leave()
			return nil, nil, err
		}
		undo = append(undo, release)
	}
	if c.LAN != nil && len(c.Rooms) > 0 {
		release, err := n.meetNearby(&c, ports, report)
		switch {
		case err == nil:
			undo = append(undo, release)
		case c.Swarm != nil || len(c.Peers) > 0 || len(c.Listen) > 0:
			n.log.Warn("peers in this network are not looked for", "err", err)
		default:
			leave()
			return nil, nil, fault.WithHint(err, "peers can be found elsewhere without --no-dht, or named with --peer")
		}
	}
	if c.Swarm != nil && len(c.Rooms) > 0 {
		release, err := n.meet(&c, report)
		if err != nil {
			leave()
			return nil, nil, err
		}
		undo = append(undo, release)
	}
	return n.addresses(), leave, nil
}

// wanted returns the addresses to listen at for a request: those that it names,
// or if it has to be reachable without naming one, those that are open already,
// or else a new one.
func (n *network) wanted(c *api.Connect) []string {
	nearby := c.LAN != nil && slices.ContainsFunc(c.Rooms, func(r api.Room) bool { return r.Announce })
	if len(c.Listen) > 0 || !c.AnyListener && !nearby {
		return c.Listen
	}
	address := "tcp://127.0.0.1:0"
	if nearby {
		address = anyAddress
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var open []string
	for a, l := range n.listeners {
		if !nearby || onLink(l.Addr(), c.LAN.Interfaces) {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return []string{address}
	}
	slices.Sort(open)
	return open
}

// anyAddress is a free port on all interfaces.
const anyAddress = "tcp://:0"

// parseAddress reads tcp://HOST:PORT.
func parseAddress(address string) (hostPort string, err error) {
	wrong := fault.New(fault.Usage, "%q is not an address", address).Hint("an address looks like tcp://192.0.2.7:4977")
	scheme, hostPort, ok := strings.Cut(address, "://")
	if !ok || hostPort == "" || strings.ContainsAny(hostPort, "/?#@ ") {
		return "", wrong
	}
	if scheme != "tcp" {
		return "", fault.New(fault.Usage, "%q begins with %s:// instead of tcp://", address, scheme)
	}
	if _, port, err := net.SplitHostPort(hostPort); err != nil || port == "" {
		return "", wrong
	}
	return hostPort, nil
}

// addresses returns the addresses at which peers can reach the node.
func (n *network) addresses() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, l := range n.listeners {
		list = append(list, reachable(l.Addr())...)
	}
	slices.Sort(list)
	return list
}

// reachable returns the addresses behind one that may stand for all interfaces.
func reachable(addr net.Addr) []string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return []string{"tcp://" + addr.String()}
	}
	_, port, _ := net.SplitHostPort(addr.String())
	var list []string
	interfaces, _ := net.InterfaceAddrs()
	for _, a := range interfaces {
		ip, ok := a.(*net.IPNet)
		if ok && ip.IP.IsGlobalUnicast() && !ip.IP.IsLoopback() {
			list = append(list, "tcp://"+net.JoinHostPort(ip.IP.String(), port))
		}
	}
	if len(list) == 0 {
		list = append(list, "tcp://127.0.0.1:"+port)
	}
	return list
}

// peers describes the connections there are, and those that were asked for. One
// that was asked for at several addresses is listed once.
func (n *network) peers() []api.Peer {
	list := []api.Peer{}
	open := make(map[string]*hyperswarm.Conn)
	for _, c := range n.swarm.Connections() {
		open[c.RemotePublicKey().String()] = c
	}
	listed := make(map[string]bool)
	n.mu.Lock()
	for _, address := range slices.Sorted(maps.Keys(n.dialers)) {
		p := n.dialers[address].state()
		if p.Key != "" && listed[p.Key] {
			continue
		}
		listed[p.Key] = true
		if c := open[p.Key]; c != nil {
			now := describe(c)
			p.Path, p.Sent, p.Received = now.Path, now.Sent, now.Received
		}
		list = append(list, p)
	}
	n.mu.Unlock()
	for key, c := range open {
		if !listed[key] {
			list = append(list, describe(c))
		}
	}
	slices.SortFunc(list, func(a, b api.Peer) int { return strings.Compare(a.Address+a.Key, b.Address+b.Key) })
	return list
}

// options returns those of a handshake with a peer that came.
func (n *network) options() *secretstream.Options {
	return &secretstream.Options{KeyPair: n.keyPair, Outgoing: &n.bandwidth.up, Incoming: &n.bandwidth.down, Verify: func(remote hypercrypto.PublicKey) error {
		if remote == n.keyPair.Public {
			return errSelf
		}
		return nil
	}}
}

var errSelf = fault.New(fault.Usage, "the address is this node's own")

// dialOptions returns those of a handshake with a peer that is dialed: one that is
// connected is left alone, and of several handshakes with one peer at the same
// time, as happens when it has several addresses, only one ends. release must be
// called when the connection is adopted or there is none.
func (n *network) dialOptions() (o *secretstream.Options, release func()) {
	var mine *hypercrypto.PublicKey // guarded by n.mu
	return &secretstream.Options{KeyPair: n.keyPair, Outgoing: &n.bandwidth.up, Incoming: &n.bandwidth.down, Verify: func(remote hypercrypto.PublicKey) error {
			if remote == n.keyPair.Public {
				return errSelf
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.claimed[remote] || n.swarm.Connection(remote) != nil {
				return &connectedError{remote}
			}
			n.claimed[remote], mine = true, &remote
			return nil
		}}, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			if mine != nil {
				delete(n.claimed, *mine)
				mine = nil
			}
		}
}

// connectedError means that there is a connection to the peer at an address
// already.
type connectedError struct{ key hypercrypto.PublicKey }

func (e *connectedError) Error() string { return "connected already" }
