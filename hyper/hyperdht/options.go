package hyperdht

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/internal/udpio"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// DefaultPort is the port a node tries first.
const DefaultPort = 49737

var defaultBootstrap = []string{
	"88.99.3.86@node1.hyperdht.org:49737",
	"142.93.90.113@node2.hyperdht.org:49737",
	"138.68.147.8@node3.hyperdht.org:49737",
}

// DefaultBootstrap returns the public nodes that a DHT begins with.
func DefaultBootstrap() []string { return append([]string(nil), defaultBootstrap...) }

// Role says whether others may keep this node in their routing tables.
type Role = dhtrpc.Role

// Roles of a node.
const (
	// Adaptive nodes begin as clients and become part of the network when they
	// have been reachable at one address for 20 minutes.
	Adaptive = dhtrpc.Adaptive
	// Ephemeral nodes stay clients.
	Ephemeral = dhtrpc.Ephemeral
	// Persistent nodes are part of the network from the start. They must be
	// reachable.
	Persistent = dhtrpc.Persistent
)

// Reach says whether strangers' packets get through to this node's port.
type Reach = dhtrpc.Reach

// Kinds of reachability.
const (
	// Detect finds out by asking other nodes.
	Detect = dhtrpc.Detect
	// Open nodes are reachable.
	Open = dhtrpc.Open
	// Firewalled nodes are not.
	Firewalled = dhtrpc.Firewalled
)

// Options configures [New]. The zero value is ready to use and joins the public
// network.
type Options struct {
	// Bootstrap are the nodes to begin with: "host:port", or "ip@host:port" to
	// resolve the name only if nobody answers at the address. Nil means the
	// public ones; an empty slice makes an isolated node, which can still
	// connect to peers at known addresses.
	Bootstrap []string
	// Listen is the address of the known port. The zero value means all
	// interfaces and a port near DefaultPort, or any other if those are taken.
	// A port of 0 means any.
	Listen netip.AddrPort
	// Addr is how others see this node, for one that has nobody to ask.
	Addr netip.AddrPort
	// KeyPair is the identity of outgoing connections that name no other. Nil
	// means a random one.
	KeyPair *hypercrypto.KeyPair
	Role    Role
	Reach   Reach
	// Limits bound what is stored for others.
	Limits Limits
	// MaxHalfOpen bounds the incoming handshakes that are not yet connections.
	// Default 1024; of one address an eighth of that, loopback excepted.
	MaxHalfOpen int
	// RequestsPerSecond bounds what one address may ask in the long run. Default
	// 500; loopback has no bound.
	RequestsPerSecond int
	// KeepAlive is the time without writing after which a connection sends an
	// empty message. Default 5 seconds.
	KeepAlive time.Duration
	// Outgoing and Incoming limit what connections carry, relayed ones too; what the
	// node sends and answers as part of the DHT does not count. Nil is no limit.
	Outgoing, Incoming secretstream.Throttle
	// RandomPunchInterval is the least time between two hole punches through a
	// NAT with random ports, which send some thousand packets. Default 20 s.
	RandomPunchInterval time.Duration
	// Transport opens sockets on a simulated network. Nil means UDP.
	Transport func(netip.AddrPort) (udpio.Conn, error)
	// LocalAddrs returns the addresses of this machine on its networks. Nil asks
	// the system.
	LocalAddrs func() []netip.Addr
	// Changed, if set, is called when the network is back or this node's address
	// is another. It must not wait.
	Changed func()
	// Log receives debug events. Nil discards them.
	Log *slog.Logger

	tokenSecrets *[2][32]byte
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Bootstrap == nil {
		c.Bootstrap = DefaultBootstrap()
	}
	if c.KeyPair == nil {
		c.KeyPair = hypercrypto.NewKeyPair()
	}
	c.Limits = c.Limits.withDefaults()
	if c.MaxHalfOpen <= 0 {
		c.MaxHalfOpen = 1024
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = 5 * time.Second
	}
	if c.RandomPunchInterval <= 0 {
		c.RandomPunchInterval = 20 * time.Second
	}
	if c.LocalAddrs == nil {
		c.LocalAddrs = interfaceAddrs
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
