package node

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/tradle/cloudpal/hyper/storage"
)

// Memory is bounded by what caches may take, not by what a node has. After work caches
// are full and the heap has room for more of the same, so a node that came to rest gives
// both back.
const (
	// restTick is how often is looked whether the node rests.
	restTick = 10 * time.Second
	// restBytes is what a node allocates in that time at most while it rests.
	restBytes = 1 << 20
	// restWorth is after how many allocated bytes it is worth to give back memory.
	restWorth = 16 << 20
)

// MinMemory is the least that [Options.Memory] may be.
const MinMemory = 32 << 20

// cacheSizes divides the memory that a node may use.
func cacheSizes(memory int64) *storage.Options {
	if memory == 0 {
		return nil
	}
	return &storage.Options{PageCacheSize: memory / 4, CacheSize: memory / 8, MemTableSize: min(max(memory/32, 1<<20), 4<<20)}
}

// limitHeap has the garbage collector work harder before the process takes more than
// the memory that the node may use, and returns what ends that. A part of it is not the
// collector's.
func limitHeap(memory int64) (restore func()) {
	if memory == 0 {
		return func() {}
	}
	before := debug.SetMemoryLimit(memory - memory/4)
	return func() { debug.SetMemoryLimit(before) }
}

// keepMemory gives memory back when the node rests, and drops caches when they alone are
// more than the node may use, until ctx ends.
func (n *Node) keepMemory(ctx context.Context) {
	tick := time.NewTicker(restTick)
	defer tick.Stop()
	var r rest
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		allocated, live := heap()
		switch {
		case r.due(allocated):
			n.trim()
			r.given, _ = heap()
			r.last = r.given
		case n.opts.Memory > 0 && live > uint64(n.opts.Memory)/2:
			n.store.DB().Trim()
		}
	}
}

// trim gives back the memory that is not needed to go on.
func (n *Node) trim() {
	n.store.DB().Trim()
	runtime.GC() // pools keep what they have for one collection
	debug.FreeOSMemory()
}

// heap returns how many bytes have been allocated so far, and how many of them the last
// collection left.
func heap() (allocated, live uint64) {
	m := [2]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(m[:])
	return m[0].Value.Uint64(), m[1].Value.Uint64()
}

// rest finds out when a node has come to rest, by what it allocates.
type rest struct {
	last  uint64 // allocated at the last look
	given uint64 // when memory was given back
}

// due tells whether there is memory to be given back now.
func (r *rest) due(allocated uint64) bool {
	quiet := allocated-r.last <= restBytes
	r.last = allocated
	return quiet && allocated-r.given >= restWorth
}
