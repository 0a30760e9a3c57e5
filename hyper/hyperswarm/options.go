package hyperswarm

import (
	"context"
	"log/slog"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// Topic is what peers meet at. It becomes known to DHT nodes, so it must be a
// hash, such as a discovery key, and never a secret.
type Topic = hyperdht.Topic

// Handler speaks with a peer for as long as the connection lasts. ctx ends with
// the connection, and the connection ends when the handler returns. For one
// remote key there is never more than one handler running.
type Handler func(ctx context.Context, c *Conn)

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// KeyPair is the identity that is announced and proven. Nil means a random
	// one.
	KeyPair *hypercrypto.KeyPair
	// MaxPeers limits the connections and attempts beyond which nobody is
	// dialed any more, except peers of JoinPeer. Default 64.
	MaxPeers int
	// MaxClientConnections limits dialed connections and attempts. Default: only
	// MaxPeers counts.
	MaxClientConnections int
	// MaxServerConnections limits accepted connections. Default 256.
	MaxServerConnections int
	// MaxParallel limits attempts at the same time. Default 3.
	MaxParallel int
	// Firewall, if set, tells whether to refuse a peer, before it is dialed and
	// before it is answered. It may be called concurrently and must not wait.
	Firewall func(remote hypercrypto.PublicKey) (refuse bool)
	// Relays, if set, is asked before each attempt, and when the swarm begins to
	// listen, for the keys of relays to use where two networks cannot reach each
	// other directly. If only is true nothing is ever sent directly, so that peers
	// do not learn this machine's address; the relays do. It must not wait.
	Relays func() (keys []hypercrypto.PublicKey, only bool)
	// Open opens the DHT node. It is called when the node is first needed, and
	// again after an error, with the function that the node is to call when its
	// network has changed. The swarm closes the node. Nil opens one in the public
	// network.
	Open func(changed func()) (*hyperdht.DHT, error)
	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

const (
	defaultMaxPeers   = 64
	defaultMaxServers = 256
	defaultParallel   = 3
)

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.KeyPair == nil {
		c.KeyPair = hypercrypto.NewKeyPair()
	}
	if c.MaxPeers == 0 {
		c.MaxPeers = defaultMaxPeers
	}
	if c.MaxClientConnections == 0 {
		c.MaxClientConnections = int(^uint(0) >> 1)
	}
	if c.MaxServerConnections == 0 {
		c.MaxServerConnections = defaultMaxServers
	}
	if c.MaxParallel == 0 {
		c.MaxParallel = defaultParallel
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

const (
	// attemptTime bounds one attempt: hole punching with random ports takes 35 s
	// and may have to wait its turn before.
	attemptTime = 90 * time.Second
	// leaveTime bounds the good-byes to the DHT.
	leaveTime = 5 * time.Second

	// maxKnown limits the peers that are remembered, beside those that are
	// connected, banned or asked for by key.
	maxKnown = 1024
	// maxFound limits the peers that one refresh takes from the DHT, maxAnswer
	// those that it takes from one answer: honest nodes send 20 and one route.
	maxFound  = 1024
	maxAnswer = 21
	// maxRelays limits the relay addresses of a peer.
	maxRelays = 3

	// Strangers are dialed at this rate once a first burst is used up, so that
	// nobody can make this node send packets all over the world.
	strangerBurst = 128
	strangerPause = 500 * time.Millisecond
)
