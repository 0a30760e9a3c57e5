package hyperdht

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// routeCache remembers how peers were reached: the nodes that know them, and
// where they were themselves. A NAT that was opened for a peer stays open for a
// while, so a handshake sent right there comes through without anybody's help.
type routeCache struct {
	mu    sync.Mutex // guards what follows
	nodes *cache[hypercrypto.PublicKey, []netip.AddrPort]
	peers *cache[hypercrypto.PublicKey, place]
}

// place is where a peer was, and how packets got there.
type place struct {
	addr netip.AddrPort
	path Path
}

const (
	routeCacheSize = 512
	routeCacheTTL  = 24 * time.Hour
	// openTTL is how long a NAT may well stay open for a peer after the last
	// connection was made.
	openTTL = 10 * time.Minute
)

func newRouteCache() *routeCache {
	return &routeCache{
		nodes: newCache[hypercrypto.PublicKey, []netip.AddrPort](routeCacheTTL, routeCacheSize, routeCacheSize<<10),
		peers: newCache[hypercrypto.PublicKey, place](openTTL, routeCacheSize, routeCacheSize<<10),
	}
}

// loopback is an owner without a share.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (c *routeCache) setNodes(key hypercrypto.PublicKey, addrs []netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes.set(time.Now(), key, addrs, len(addrs)*8, loopback)
}

func (c *routeCache) nodesOf(key hypercrypto.PublicKey) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	addrs, _ := c.nodes.get(time.Now(), key, true)
	return addrs
}

func (c *routeCache) setPeer(key hypercrypto.PublicKey, p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers.set(time.Now(), key, p, 8, loopback)
}

// peer returns where a peer was lately; the address is invalid if that is not
// known.
func (c *routeCache) peer(key hypercrypto.PublicKey) place {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, _ := c.peers.get(time.Now(), key, false)
	return p
}
