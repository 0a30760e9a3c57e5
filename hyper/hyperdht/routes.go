package hyperdht

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// routeCache remembers through which nodes peers were reached.
type routeCache struct {
	mu    sync.Mutex
	peers *cache[hypercrypto.PublicKey, []netip.AddrPort]
}

const (
	routeCacheSize = 512
	routeCacheTTL  = 24 * time.Hour
)

func newRouteCache() *routeCache {
	return &routeCache{peers: newCache[hypercrypto.PublicKey, []netip.AddrPort](routeCacheTTL, routeCacheSize, routeCacheSize<<10)}
}

// loopback is an owner without a share.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (c *routeCache) set(key hypercrypto.PublicKey, addrs []netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers.set(time.Now(), key, addrs, len(addrs)*8, loopback)
}

func (c *routeCache) get(key hypercrypto.PublicKey) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	addrs, _ := c.peers.get(time.Now(), key, true)
	return addrs
}
