package hyperdht

import (
	"container/list"
	"net/netip"
	"time"
)

// cache keeps values for a time, and no more than a number and a size of them:
// the one that was renewed longest ago leaves first. No single owner, which is
// the address a value came from, may hold more than its share.
type cache[K comparable, V any] struct {
	ttl      time.Duration
	maxItems int
	maxBytes int

	items  map[K]*list.Element
	order  list.List // of *cached[K, V], the one renewed last in front
	bytes  int
	owners map[netip.Addr]int
	gone   func(K, V) // may be nil
}

type cached[K comparable, V any] struct {
	key     K
	value   V
	size    int
	owner   netip.Addr
	renewed time.Time
}

// ownerShare is the part of a cache that one owner may hold.
const ownerShare = 16

func newCache[K comparable, V any](ttl time.Duration, maxItems, maxBytes int) *cache[K, V] {
	return &cache[K, V]{ttl: ttl, maxItems: maxItems, maxBytes: maxBytes, items: make(map[K]*list.Element), owners: make(map[netip.Addr]int)}
}

// set stores a value; false means that its owner has too many.
func (c *cache[K, V]) set(now time.Time, key K, value V, size int, owner netip.Addr) bool {
	c.expire(now)
	if e := c.items[key]; e != nil {
		c.remove(e)
	}
	if c.owners[owner] >= max(c.maxItems/ownerShare, 1) && !owner.IsLoopback() {
		return false
	}
	c.items[key] = c.order.PushFront(&cached[K, V]{key, value, size, owner, now})
	c.bytes += size
	c.owners[owner]++
	for len(c.items) > c.maxItems || c.bytes > c.maxBytes {
		c.remove(c.order.Back())
	}
	return true
}

// get returns a value, and makes it new again if renew is true.
func (c *cache[K, V]) get(now time.Time, key K, renew bool) (v V, ok bool) {
	e := c.items[key]
	if e == nil {
		return v, false
	}
	it := e.Value.(*cached[K, V])
	if now.Sub(it.renewed) >= c.ttl {
		c.remove(e)
		return v, false
	}
	if renew {
		it.renewed = now
		c.order.MoveToFront(e)
	}
	return it.value, true
}

func (c *cache[K, V]) delete(key K) {
	if e := c.items[key]; e != nil {
		c.remove(e)
	}
}

// expire drops what is too old. The order is that of renewal, so the work is in
// proportion to what is dropped.
func (c *cache[K, V]) expire(now time.Time) {
	for e := c.order.Back(); e != nil && now.Sub(e.Value.(*cached[K, V]).renewed) >= c.ttl; e = c.order.Back() {
		c.remove(e)
	}
}

func (c *cache[K, V]) remove(e *list.Element) {
	it := c.order.Remove(e).(*cached[K, V])
	delete(c.items, it.key)
	c.bytes -= it.size
	if c.owners[it.owner]--; c.owners[it.owner] <= 0 {
		delete(c.owners, it.owner)
	}
	if c.gone != nil {
		c.gone(it.key, it.value)
	}
}
