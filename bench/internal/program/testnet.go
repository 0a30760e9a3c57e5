package program

import (
	"context"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hyperdht"
)

var (
	anyLocalPort  = netip.MustParseAddrPort("127.0.0.1:0")
	bootstrapPort = netip.MustParseAddrPort("127.0.0.1:49737")
)

// testnet is a DHT of its own on this machine's loopback interface.
type testnet struct {
	nodes     []*hyperdht.DHT
	Bootstrap []string
}

// newTestnet starts a network of n nodes. All are part of it from the start.
func newTestnet(ctx context.Context, n int) (*testnet, error) {
	t := &testnet{}
	first, err := hyperdht.NewBootstrapper(bootstrapPort, &hyperdht.Options{Listen: bootstrapPort})
	if err != nil {
		return nil, err
	}
	t.nodes = append(t.nodes, first)
	t.Bootstrap = []string{first.LocalAddr().String()}
	for range n - 1 {
		d, err := t.node(ctx, hyperdht.Persistent)
		if err != nil {
			t.close()
			return nil, err
		}
		t.nodes = append(t.nodes, d)
	}
	return t, nil
}

// node starts a node that can be reached and waits until it knows others.
func (t *testnet) node(ctx context.Context, role hyperdht.Role) (*hyperdht.DHT, error) {
	return joinTestnet(ctx, t.Bootstrap, role)
}

func joinTestnet(ctx context.Context, bootstrap []string, role hyperdht.Role) (*hyperdht.DHT, error) {
	d, err := hyperdht.New(&hyperdht.Options{Bootstrap: bootstrap, Listen: anyLocalPort, Role: role, Reach: hyperdht.Open})
	if err != nil {
		return nil, err
	}
	if err := d.Ready(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (t *testnet) close() {
	for _, d := range t.nodes {
		d.Close()
	}
}
