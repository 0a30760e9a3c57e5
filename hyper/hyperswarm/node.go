package hyperswarm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// node is a DHT node as a swarm needs it, opened when it is first used.
type node struct {
	open    func(changed func()) (*hyperdht.DHT, error) // set once; may be nil
	changed func()                                      // set once

	mu     sync.Mutex // guards what follows, and is held while opening
	dht    *hyperdht.DHT
	closed bool
}

func (n *node) get() (*hyperdht.DHT, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if n.dht != nil {
		return n.dht, nil
	}
	open := n.open
	if open == nil {
		open = func(changed func()) (*hyperdht.DHT, error) {
			return hyperdht.New(&hyperdht.Options{Changed: changed})
		}
	}
	d, err := open(n.changed)
	if err != nil {
		return nil, err
	}
	n.dht = d
	return d, nil
}

// opened returns the node if it is open.
func (n *node) opened() *hyperdht.DHT {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dht
}

func (n *node) connect(ctx context.Context, key hypercrypto.PublicKey, o connectOptions) (stream, error) {
	d, err := n.get()
	if err != nil {
		return stream{}, err
	}
	c, err := d.Connect(ctx, key, &hyperdht.ConnectOptions{
		KeyPair: o.keyPair, RelayAddresses: o.relays, RelayThrough: o.relay.through, OnlyRelay: o.relay.only,
	})
	if errors.Is(err, hyperdht.ErrHolepunch) {
		err = fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if err != nil {
		return stream{}, err
	}
	return streamOf(c), nil
}

func streamOf(c *hyperdht.Conn) stream {
	return stream{Conn: c.Conn, dht: c, path: func() Path { return Path{Kind: c.Path(), Remote: c.RemoteAddrPort()} }}
}

func (n *node) listen(ctx context.Context, o listenOptions) (server, error) {
	d, err := n.get()
	if err != nil {
		return nil, err
	}
	relay := o.relay()
	s, err := d.Listen(ctx, o.keyPair, &hyperdht.ServerOptions{
		Allow:        func(remote hypercrypto.PublicKey, _ netip.AddrPort) bool { return !o.firewall(remote) },
		RelayThrough: relay.through, OnlyRelay: relay.only,
	})
	if err != nil {
		return nil, err
	}
	return nodeServer{s}, nil
}

func (n *node) lookup(ctx context.Context, topic Topic, how lookup, near *hyperdht.Search, report func([]hyperdht.Peer)) error {
	d, err := n.get()
	if err != nil {
		return err
	}
	if how.clear || how.unannounce {
		if err := d.Unannounce(ctx, topic, how.keyPair, near); err != nil {
			return err
		}
	}
	if how.announce {
		_, err := d.Announce(ctx, topic, how.keyPair, &hyperdht.AnnounceOptions{
			Relays: how.relays, Search: near, Found: func(r hyperdht.Result) { report(r.Peers) },
		})
		return err
	}
	for r, err := range d.Lookup(ctx, topic, near) {
		if err != nil {
			return err
		}
		report(r.Peers)
	}
	return nil
}

func (n *node) unannounce(ctx context.Context, topic Topic, keyPair *hypercrypto.KeyPair, near *hyperdht.Search) error {
	d := n.opened()
	if d == nil {
		return nil
	}
	return d.Unannounce(ctx, topic, keyPair, near)
}

func (n *node) randomized() bool {
	d := n.opened()
	return d != nil && d.Status().NAT == hyperdht.NATRandom
}

func (n *node) suspend(ctx context.Context) error {
	if d := n.opened(); d != nil {
		return d.Suspend(ctx)
	}
	return nil
}

func (n *node) resume() error {
	if d := n.opened(); d != nil {
		return d.Resume()
	}
	return nil
}

func (n *node) close() error {
	n.mu.Lock()
	n.closed = true
	d := n.dht
	n.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.Close()
}

// nodeServer is a server of a DHT node.
type nodeServer struct{ *hyperdht.Server }

func (s nodeServer) accept(ctx context.Context) (stream, error) {
	c, err := s.Accept(ctx)
	if err != nil {
		return stream{}, err
	}
	return streamOf(c), nil
}

func (s nodeServer) relays() []netip.AddrPort { return s.RelayAddresses() }
func (s nodeServer) close() error             { return s.Close() }
