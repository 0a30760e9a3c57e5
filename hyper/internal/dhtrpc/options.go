package dhtrpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Errors of requests and queries.
var (
	// ErrTimeout: no answer came. The other node may be gone, or may have had
	// reasons for silence, which is how refusals are said.
	ErrTimeout = errors.New("dhtrpc: request timed out")
	// ErrClosed: the node was closed.
	ErrClosed = errors.New("dhtrpc: closed")
	// ErrSuspended: the node was suspended; try again after Resume.
	ErrSuspended = errors.New("dhtrpc: suspended")
	// ErrBusy: too many requests wait. Slow down.
	ErrBusy = errors.New("dhtrpc: too many requests")
	// ErrTooLarge: the packet would not fit one datagram.
	ErrTooLarge = errors.New("dhtrpc: message is too large")
)

// Socket sends datagrams. Send does not keep b.
type Socket interface {
	LocalAddr() netip.AddrPort
	Send(b []byte, to netip.AddrPort) error
}

// Role says whether others may put the node into their routing tables.
type Role int

const (
	// Adaptive nodes begin as clients and become part of the network when they
	// have been reachable at one address for 20 minutes.
	Adaptive Role = iota
	// Ephemeral nodes stay clients.
	Ephemeral
	// Persistent nodes are part of the network from the start.
	Persistent
)

// Reach says whether strangers' packets get through to the server socket.
type Reach int

const (
	// Detect asks other nodes.
	Detect Reach = iota
	// Open: they do.
	Open
	// Firewalled: they do not.
	Firewalled
)

// Options configures [New].
type Options struct {
	// Bootstrap are the nodes to begin with: "host:port", or "ip@host:port" to
	// resolve the name only if nobody answers at the address.
	Bootstrap []string
	// Addr is how others see this node, if that is known. The first node of a
	// network has nobody to ask.
	Addr  netip.AddrPort
	Role  Role
	Reach Reach
	// Handler is called for each request that is not of this package. It must
	// not wait, and must copy what it keeps. It returns false for commands that
	// it does not know. Nil knows none.
	Handler func(r *Request) bool
	// Refuse tells which addresses are never put into the table. May be nil.
	Refuse func(netip.AddrPort) bool
	// Changed is called without locks after the role, the reachability, the
	// address or the online state has changed. It must not wait. May be nil.
	Changed func()
	// RequestsPerSecond bounds what one address may ask in the long run; bursts
	// are three times as large. Loopback has no bound. Default 500.
	RequestsPerSecond int
	// Resolve looks up the IPv4 address of a host. Nil asks the system.
	Resolve func(ctx context.Context, host string) (netip.Addr, error)
	// Log receives debug events. Nil discards them.
	Log *slog.Logger

	// TokenSecrets are the first secrets instead of random ones, for tests.
	TokenSecrets *[2][32]byte
}

const defaultRequestsPerSecond = 500

func (o Options) withDefaults() Options {
	if o.RequestsPerSecond <= 0 {
		o.RequestsPerSecond = defaultRequestsPerSecond
	}
	if o.Resolve == nil {
		o.Resolve = resolve
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func resolve(ctx context.Context, host string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return addrs[0].Unmap(), nil
}
