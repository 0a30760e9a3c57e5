package storage

import (
	"math"
	"sync"
)

// pageCache keeps parsed pages of blocks and nodes. An entry carries the state
// of its core (see Core.state) at which it was read. A commit drops the pages
// it changed, so an entry that is still there is valid for every state from its
// own up to now. Pages are used under the lock of their shard and recycled when
// they are evicted: reading allocates nothing.
type pageCache struct {
	shards [cacheShards]cacheShard
}

const cacheShards = 16

type pageKey struct {
	core coreID
	part byte
	// layer and page number of a tree page; layer 0 of a block page
	layer byte
	page  uint64
}

type cacheShard struct {
	mu    sync.Mutex
	max   int
	size  int
	m     map[pageKey]*cacheEntry
	ring  []*cacheEntry // clock
	hand  int
	spare []*cacheEntry
}

type cacheEntry struct {
	key   pageKey
	state uint64
	used  bool
	at    int // position in ring
	page  page
}

const cacheEntryOverhead = 384

func (e *cacheEntry) size() int { return cap(e.page.data) + cacheEntryOverhead }

func newPageCache(size int64) *pageCache {
	c := &pageCache{}
	for i := range c.shards {
		c.shards[i].max = int(min(size/cacheShards, math.MaxInt32))
		c.shards[i].m = map[pageKey]*cacheEntry{}
	}
	return c
}

func (c *pageCache) shard(k pageKey) *cacheShard {
	h := (uint64(k.core)*0x9e3779b97f4a7c15 ^ k.page*0xff51afd7ed558ccd ^ uint64(k.part)<<7 ^ uint64(k.layer)) * 0x9e3779b97f4a7c15
	return &c.shards[h>>60]
}

// get returns the page if it is cached and valid at the given state. s.mu must
// be held while the result is used.
func (s *cacheShard) get(k pageKey, state uint64) *page {
	e := s.m[k]
	if e == nil || e.state > state {
		return nil
	}
	e.used = true
	return &e.page
}

// put copies a page, which was read at the given state, into the cache. s.mu
// must be held.
func (s *cacheShard) put(k pageKey, state uint64, p *page) {
	if len(p.data)+cacheEntryOverhead > s.max/4 || s.m[k] != nil {
		return
	}
	var e *cacheEntry
	if n := len(s.spare); n > 0 {
		e = s.spare[n-1]
		s.spare = s.spare[:n-1]
	} else {
		e = &cacheEntry{}
	}
	data := append(e.page.data[:0], p.data...)
	e.page.set, e.page.clr, e.page.off = p.set, p.clr, p.off
	e.page.data = data
	e.key, e.state, e.used, e.at = k, state, false, len(s.ring)
	s.ring = append(s.ring, e)
	s.m[k] = e
	s.size += e.size()
	for s.size > s.max {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		if v := s.ring[s.hand]; v.used || v == e {
			v.used = false
			s.hand++
			if len(s.ring) == 1 {
				return
			}
		} else {
			s.remove(v)
		}
	}
}

// remove drops an entry. s.mu must be held.
func (s *cacheShard) remove(e *cacheEntry) {
	last := len(s.ring) - 1
	s.ring[e.at] = s.ring[last]
	s.ring[e.at].at = e.at
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.m, e.key)
	s.size -= e.size()
	if len(s.spare) < 16 {
		s.spare = append(s.spare, e)
	}
}

// clear drops everything, with its memory.
func (c *pageCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.m, s.ring, s.spare, s.size, s.hand = map[pageKey]*cacheEntry{}, nil, nil, 0, 0
		s.mu.Unlock()
	}
}

func (c *pageCache) drop(k pageKey) {
	s := c.shard(k)
	s.mu.Lock()
	if e := s.m[k]; e != nil {
		s.remove(e)
	}
	s.mu.Unlock()
}

// dropIf drops all pages for which fn is true. It looks at every entry.
func (c *pageCache) dropIf(fn func(k pageKey) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for at := len(s.ring) - 1; at >= 0; at-- {
			if fn(s.ring[at].key) {
				s.remove(s.ring[at])
			}
		}
		s.mu.Unlock()
	}
}
