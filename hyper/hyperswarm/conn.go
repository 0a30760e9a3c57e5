package hyperswarm

import (
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// Conn is a connection to a peer: a net.Conn that keeps message boundaries.
type Conn struct {
	*secretstream.Conn
	swarm *Swarm
	peer  *peer
	path  func() Path
	dht   *hyperdht.Conn
}

// Path is the way of a connection's packets.
type Path struct {
	Kind   hyperdht.Path
	Remote netip.AddrPort // the peer, or the relay
}

// Path returns the present path. It can change from relayed to another.
func (c *Conn) Path() Path { return c.path() }

// DHT returns the connection below, which carries unordered messages too, or nil
// if the connection was adopted.
func (c *Conn) DHT() *hyperdht.Conn { return c.dht }

// Topics returns the joined topics at which the peer was found so far. It is
// empty for a peer that came by itself and has not been found.
func (c *Conn) Topics() []Topic {
	c.swarm.mu.Lock()
	defer c.swarm.mu.Unlock()
	return c.swarm.topicsLocked(c.peer)
}
