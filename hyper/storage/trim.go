package storage

import (
	"slices"
	"sync"
	"weak"
)

// Trim gives back the memory of everything that only makes reading faster: what was
// read lately is read from the files again. It is for a store that has come to rest
// after much work. What is to be written for that stays in memory if the disk does not take
// it: Trim does not wait until there is room.
func (db *DB) Trim() {
	if !db.gate.enter() {
		return
	}
	defer db.leave()
	for _, c := range db.above.all() {
		c.trim()
	}
	db.cache.clear()
	// The database holds on to large batches until the queue of what is to be flushed
	// has moved on by two, and to the buffers of the log as long as it writes that one.
	for range 2 {
		if db.refused.Load() > 0 {
			break // it is being tried, and what waits for that must not become more
		}
		if err := db.writeOut(); err != nil {
			db.opts.Log.Debug("flush", "err", err)
			break
		}
	}
	// A reservation of everything drives all out of the database's own cache.
	db.blocks.Reserve(int(db.opts.CacheSize))()
	releaseFreed()
}

// OnTrim makes [DB.Trim] call trim for a cache of what lies in the store, for as long
// as somebody else holds the cache.
func OnTrim[T any](db *DB, cache *T, trim func(*T)) {
	db.above.add(weakCache[T]{weak.Make(cache), trim})
}

// caches are those above a store.
type caches struct {
	mu   sync.Mutex
	list []trimmer
	most int // how long list may get until it is searched for those that are gone
}

type trimmer interface {
	gone() bool
	trim()
}

type weakCache[T any] struct {
	cache weak.Pointer[T]
	fn    func(*T)
}

func (w weakCache[T]) gone() bool { return w.cache.Value() == nil }

func (w weakCache[T]) trim() {
	if c := w.cache.Value(); c != nil {
		w.fn(c)
	}
}

func (c *caches) add(t trimmer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) >= c.most {
		c.list = slices.DeleteFunc(c.list, trimmer.gone)
		c.most = max(64, 2*len(c.list))
	}
	c.list = append(c.list, t)
}

func (c *caches) all() []trimmer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}
