package hyperswarm

import (
	"context"
	"errors"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// network is what a swarm needs of a DHT node.
type network interface {
	// connect opens a connection to the server with that key.
	connect(ctx context.Context, key hypercrypto.PublicKey, o connectOptions) (stream, error)
	// listen makes this node reachable under its key.
	listen(ctx context.Context, o listenOptions) (server, error)
	// lookup searches a topic and, as how says, puts this node there or takes it
	// away. near remembers the nodes that know the topic. report is called for
	// each answer, not concurrently.
	lookup(ctx context.Context, topic Topic, how lookup, near *hyperdht.Search, report func([]hyperdht.Peer)) error
	// unannounce takes this node away from a topic.
	unannounce(ctx context.Context, topic Topic, keyPair *hypercrypto.KeyPair, near *hyperdht.Search) error
	// randomized tells whether the own NAT cannot be punched through.
	randomized() bool
	// suspend takes the node and its server out of the network, resume brings
	// them back.
	suspend(ctx context.Context) error
	resume() error
	close() error
}

// errUnreachable is what connect returns when two networks cannot reach each other
// without a relay.
var errUnreachable = errors.New("hyperswarm: no direct path to the peer")

// lookup says what a search does on its way.
type lookup struct {
	announce   bool
	unannounce bool
	clear      bool // take away what an earlier process left
	keyPair    *hypercrypto.KeyPair
	relays     []netip.AddrPort // of the server, for announce
}

type connectOptions struct {
	keyPair *hypercrypto.KeyPair
	relays  []netip.AddrPort // DHT nodes that know the way
	relay   relayChoice
}

// relayChoice says whether a connection goes through a relay.
type relayChoice struct {
	through *hypercrypto.PublicKey
	only    bool // never directly
}

type listenOptions struct {
	keyPair  *hypercrypto.KeyPair
	firewall func(remote hypercrypto.PublicKey) (refuse bool)
	relay    func() relayChoice
}

// server accepts connections. Its accept returns an error once it is closed.
type server interface {
	accept(ctx context.Context) (stream, error)
	relays() []netip.AddrPort
	close() error
}

// stream is a connection as the network hands it out.
type stream struct {
	*secretstream.Conn
	path func() Path    // how the packets go now
	dht  *hyperdht.Conn // nil if the connection was adopted
}
