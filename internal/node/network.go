package node

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
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
	store   *corestore.Store
	keyPair *hypercrypto.KeyPair
	log     *slog.Logger
	swarm   *hyperswarm.Swarm // holds all connections, one per remote key
	watches watches

	ctx    context.Context // ends when the network closes
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{} // limits incoming connections

	mu        sync.Mutex // guards what follows
	listeners map[string]*listener
	dialers   map[string]*dialer
	dht       *dhtSettings  // nil until a request wants the DHT
	running   *hyperdht.DHT // nil until the swarm needs it
}

func newNetwork(store *corestore.Store, log *slog.Logger) *network {
	n := &network{store: store, keyPair: store.KeyPair("cloudpal/node"), log: log, slots: make(chan struct{}, maxConnections),
		listeners: make(map[string]*listener), dialers: make(map[string]*dialer)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.swarm = newSwarm(n, store)
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
	wanted := c.Listen
	if len(wanted) == 0 && c.AnyListener {
		if wanted = n.listening(); len(wanted) == 0 {
			wanted = []string{"tcp://127.0.0.1:0"}
		}
	}
	for _, address := range wanted {
		release, err := n.listen(ctx, address)
		if err != nil {
			leave()
			return nil, nil, err
		}
		undo = append(undo, release)
	}
	for _, address := range c.Peers {
		release, err := n.dial(address, report)
		if err != nil {
			leave()
			return nil, nil, err
		}
		undo = append(undo, release)
	}
	if c.Swarm != nil && len(c.Rooms) > 0 {
		release, err := n.meet(c, report)
		if err != nil {
			leave()
			return nil, nil, err
		}
		undo = append(undo, release)
	}
	return n.addresses(), leave, nil
}

// parseAddress reads tcp://HOST:PORT.
func parseAddress(address string) (hostPort string, err error) {
	u, err := url.Parse(address)
	wrong := fault.New(fault.Usage, "%q is not an address", address).Hint("an address looks like tcp://192.0.2.7:4977")
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" {
		return "", wrong
	}
	if u.Scheme != "tcp" {
		return "", fault.New(fault.Usage, "%q begins with %s:// instead of tcp://", address, u.Scheme)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil || u.Port() == "" {
		return "", wrong
	}
	return u.Host, nil
}

// listening returns the addresses that were asked for and are open.
func (n *network) listening() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.listeners))
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

// peers describes the connections there are, and those that were asked for.
func (n *network) peers() []api.Peer {
	list := []api.Peer{}
	open := n.swarm.Connections()
	n.mu.Lock()
	for _, d := range n.dialers {
		p := d.state()
		if i := slices.IndexFunc(open, func(c *hyperswarm.Conn) bool { return p.Key != "" && c.RemotePublicKey().String() == p.Key }); i >= 0 {
			now := describe(open[i])
			p.Path, p.Sent, p.Received = now.Path, now.Sent, now.Received
			open = slices.Delete(open, i, i+1)
		}
		list = append(list, p)
	}
	n.mu.Unlock()
	for _, c := range open {
		list = append(list, describe(c))
	}
	slices.SortFunc(list, func(a, b api.Peer) int { return strings.Compare(a.Address+a.Key, b.Address+b.Key) })
	return list
}

// options returns those of a handshake. A peer that is dialed and connected is
// left alone.
func (n *network) options(dialing bool) *secretstream.Options {
	return &secretstream.Options{KeyPair: n.keyPair, Verify: func(remote hypercrypto.PublicKey) error {
		switch {
		case remote == n.keyPair.Public:
			return fault.New(fault.Usage, "the address is this node's own")
		case dialing && n.swarm.Connection(remote) != nil:
			return &connectedError{remote}
		}
		return nil
	}}
}

// connectedError means that there is a connection to the peer at an address
// already.
type connectedError struct{ key hypercrypto.PublicKey }

func (e *connectedError) Error() string { return "connected already" }
