package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// leaveTime bounds the good-byes to the DHT when a request ends.
const leaveTime = 3 * time.Second

// dhtSettings say how the node takes part in a DHT. They hold for as long as
// the process runs.
type dhtSettings struct {
	bootstrap []string
	relays    []hypercrypto.PublicKey
	relayOnly bool
}

// parseSwarm checks the settings of a request.
func parseSwarm(c *api.Swarm) (*dhtSettings, error) {
	s := &dhtSettings{relayOnly: c.RelayOnly}
	for _, b := range c.Bootstrap {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fault.New(fault.Usage, "%q is not HOST:PORT", b).Hint("a bootstrap node looks like 192.0.2.7:49737")
		}
		s.bootstrap = append(s.bootstrap, b)
	}
	for _, r := range c.Relays {
		key, err := hypercrypto.ParseKey(r)
		if err != nil {
			return nil, fault.New(fault.Usage, "relay %q: %w", r, err).Hint("a relay is named by its public key")
		}
		s.relays = append(s.relays, hypercrypto.PublicKey(key))
	}
	if s.relayOnly && len(s.relays) == 0 {
		return nil, fault.New(fault.Usage, "no relay is named to connect through").Hint("name one with --relay KEY")
	}
	return s, nil
}

// open starts a node with these settings.
func (s *dhtSettings) open(changed func(), bandwidth *bandwidth, log *slog.Logger) (*hyperdht.DHT, error) {
	o := &hyperdht.Options{Changed: changed, Outgoing: &bandwidth.up, Incoming: &bandwidth.down, Log: log}
	if len(s.bootstrap) > 0 {
		o.Bootstrap = s.bootstrap
	}
	d, err := hyperdht.New(o)
	if err != nil {
		return nil, fmt.Errorf("start the DHT node: %w", err)
	}
	return d, nil
}

// settle takes the settings of the first request that wants the DHT, and refuses
// others that differ.
func (n *network) settle(c *api.Swarm) error {
	s, err := parseSwarm(c)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return fault.New(fault.Closing, "the node is closing")
	}
	if n.dht == nil {
		n.dht = s
		for key := range n.named {
			n.swarm.JoinPeer(key)
		}
		return nil
	}
	// Who says nothing agrees, except to being less private than asked.
	same := (len(s.bootstrap) == 0 || slices.Equal(s.bootstrap, n.dht.bootstrap)) && (len(s.relays) == 0 || slices.Equal(s.relays, n.dht.relays))
	if !same || s.relayOnly && !n.dht.relayOnly {
		return fault.New(fault.Conflict, "the node that runs here takes part in the DHT in another way").
			Hint("stop it, or leave --bootstrap and the relays as they are")
	}
	return nil
}

// openDHT starts the node's part of the DHT. It is called once, when the swarm
// first needs it.
func (n *network) openDHT(changed func()) (*hyperdht.DHT, error) {
	n.mu.Lock()
	s := n.dht
	n.mu.Unlock()
	d, err := s.open(changed, n.bandwidth, n.log)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.running = d
	n.mu.Unlock()
	return d, nil
}

func (n *network) relays() (keys []hypercrypto.PublicKey, only bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dht == nil {
		return nil, false
	}
	return n.dht.relays, n.dht.relayOnly
}

// meet joins the topics of a request, and reports every peer that comes and
// goes.
func (n *network) meet(c *api.Connect, report func(api.Peer)) (leave func(), err error) {
	forget := n.watches.add(report)
	finding, stop := context.WithCancel(n.ctx)
	var sessions []*hyperswarm.Session
	leave = func() {
		forget()
		stop()
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		for _, s := range sessions {
			if err := s.Leave(ctx); err != nil {
				n.log.Debug("leave topic", "err", err)
			}
		}
	}
	for _, r := range c.Rooms {
		mode := hyperswarm.ClientOnly
		if r.Announce {
			mode = hyperswarm.Both
		}
		s, err := n.swarm.Join(hyperswarm.Topic(r.Topic), &hyperswarm.JoinOptions{Mode: mode})
		if err != nil {
			leave()
			return nil, fault.Wrap(fault.Closing, err)
		}
		sessions = append(sessions, s)
	}
	// Reads wait until everybody who is found now was asked.
	found := n.finding()
	n.wg.Go(func() {
		defer found()
		if err := n.swarm.Flush(finding); err == nil && len(n.swarm.Connections()) > 0 {
			pause(finding, settleTime)
		}
	})
	return leave, nil
}

// JoinPeer keeps a connection to the peer with that key, once the node takes part in
// a DHT. It implements [blindpeer.Connector].
func (n *network) JoinPeer(key hypercrypto.PublicKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.named[key] = true
	if n.dht != nil {
		n.swarm.JoinPeer(key)
	}
}

// LeavePeer takes JoinPeer back.
func (n *network) LeavePeer(key hypercrypto.PublicKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.named, key)
	n.swarm.LeavePeer(key)
}

// watches are requests that want to hear of peers.
type watches struct {
	mu   sync.Mutex // guards what follows, and is held while a request is told
	list map[int]func(api.Peer)
	next int
}

// add has report called for all peers of the swarm that come and go.
func (w *watches) add(report func(api.Peer)) (forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = make(map[int]func(api.Peer))
	}
	id := w.next
	w.next++
	w.list[id] = report
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, id)
	}
}

func (w *watches) tell(p api.Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, report := range w.list {
		report(p)
	}
}

// replicate speaks with a peer, however the connection was made, until it goes.
func (n *network) replicate(ctx context.Context, c *hyperswarm.Conn) {
	defer n.bandwidth.carried.begin(c)()
	p := describe(c)
	fromSwarm := !strings.HasPrefix(p.Address, "tcp:")
	if fromSwarm {
		n.watches.tell(p)
	}
	err := n.speak(ctx, c)
	if err != nil {
		n.log.Debug("connection ended", "remote", p.Address, "err", err)
	}
	if fromSwarm {
		p.State = "disconnected"
		n.watches.tell(p)
	}
}

// describe returns what there is to say about a connection.
func describe(c *hyperswarm.Conn) api.Peer {
	path, t := c.Path(), c.Traffic()
	scheme := "udp://"
	if a := c.RemoteAddr(); a != nil && a.Network() == "tcp" {
		scheme = "tcp://"
	}
	return api.Peer{Type: api.TypePeer, Address: scheme + path.Remote.String(), State: "connected", Key: c.RemotePublicKey().String(),
		Path: path.Kind.String(), Sent: t.BytesSent, Received: t.BytesReceived}
}

// tcpPath returns the path of a connection made by address.
func tcpPath(conn net.Conn) func() hyperswarm.Path {
	remote, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	p := hyperswarm.Path{Kind: hyperdht.PathDirect, Remote: remote}
	if a := remote.Addr().Unmap(); a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || isNeighbour(a) {
		p.Kind = hyperdht.PathLAN
	}
	return func() hyperswarm.Path { return p }
}

// dhtInfo describes the node's part of the DHT, nil if it has none.
func (n *network) dhtInfo() *api.DHT {
	n.mu.Lock()
	d := n.running
	n.mu.Unlock()
	if d == nil {
		return nil
	}
	s := d.Status()
	out := &api.DHT{NAT: s.NAT.String(), Nodes: s.Nodes, Online: s.Online, Topics: len(n.swarm.Topics())}
	if s.Address.IsValid() {
		out.Address = s.Address.String()
	}
	return out
}

func newSwarm(n *network) *hyperswarm.Swarm {
	return hyperswarm.New(n.replicate, &hyperswarm.Options{
		KeyPair: n.keyPair, MaxServerConnections: maxConnections, Relays: n.relays, Open: n.openDHT, Log: n.log,
	})
}
