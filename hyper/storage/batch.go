package storage

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// Mode says when Commit returns.
type Mode uint8

const (
	// Relaxed: when the bytes were handed to the operating system. The commit
	// survives a crash of the process. After a power failure a prefix of the
	// relaxed commits is there.
	Relaxed Mode = iota
	// Durable: when this commit and all that returned before it are on disk.
	Durable
)

// Batch collects changes, to one core or several, that take effect together.
// Within a batch and core, truncations and clears see the puts that came before
// them and not those that come after. A Batch is used by one goroutine at a
// time; a batch does not see its own changes.
//
// Errors of the methods that return none are reported by Commit.
type Batch struct {
	db      *DB
	cores   []*coreOps
	last    *coreOps
	created []hypercrypto.DiscoveryKey
	records []record // changes outside of a core's pages
	err     error

	// Scratch space of Commit.
	pb     *pebble.Batch
	chunks [][]byte
	heads  []byte
	free   []*coreOps
}

type record struct {
	key, value []byte
	del        bool
}

// coreOps is what a batch does to one core: first the cuts, then the puts. A cut
// removes the puts made before it.
type coreOps struct {
	core    *Core
	head    *headRecord
	headBuf headRecord
	blocks  []blockPut
	sorted  bool
	cuts    []span // of blocks
	nodeCut []uint64
	nodes   []*nodePage
	byPage  map[uint64]*nodePage
	last    [maxLayer]*nodePage
	spare   []*nodePage
	deleted bool
	created bool

	commitState
}

type span struct{ start, end uint64 }

type blockPut struct {
	index uint64
	data  []byte
	ptr   pointer // of a large block, once written
	large bool
}

type nodePage struct {
	layer byte
	page  uint64
	set   uint64
	nodes [63]nodeEntry
}

type nodeEntry struct {
	size uint64
	hash hypercrypto.Hash
}

// NewBatch returns an empty batch. Close gives its memory back for reuse.
func (db *DB) NewBatch() *Batch {
	if b, ok := db.batches.Get().(*Batch); ok {
		b.err = nil
		return b
	}
	return &Batch{db: db}
}

// Reset forgets all changes.
func (b *Batch) Reset() {
	b.db.forget(b.created)
	b.created = b.created[:0]
	for _, o := range b.cores {
		o.reset()
		b.free = append(b.free, o)
	}
	clear(b.cores)
	clear(b.records)
	b.cores, b.records, b.last, b.err = b.cores[:0], b.records[:0], nil, nil
}

// Close resets the batch and gives it back. It must not be used again.
func (b *Batch) Close() {
	if b.err == errBatchClosed {
		return
	}
	b.Reset()
	b.err = errBatchClosed
	b.db.batches.Put(b)
}

var errBatchClosed = fmt.Errorf("%w: batch", ErrClosed)

// Empty tells whether the batch changes nothing.
func (b *Batch) Empty() bool { return len(b.cores) == 0 && len(b.records) == 0 }

func (o *coreOps) reset() {
	clear(o.blocks)
	o.core, o.head, o.headBuf = nil, nil, headRecord{}
	o.blocks, o.cuts, o.nodeCut = o.blocks[:0], o.cuts[:0], o.nodeCut[:0]
	o.sorted, o.deleted, o.created = true, false, false
	if len(o.spare) < 128 {
		o.spare = append(o.spare, o.nodes...)
	}
	clear(o.nodes)
	o.nodes = o.nodes[:0]
	clear(o.byPage)
	clear(o.last[:])
	o.commitState.reset()
}

func (b *Batch) ops(c *Core) *coreOps {
	if b.last != nil && b.last.core == c {
		return b.last
	}
	for _, o := range b.cores {
		if o.core == c {
			b.last = o
			return o
		}
	}
	if c.db != b.db && b.err == nil {
		b.err = fmt.Errorf("storage: core of another DB")
	}
	var o *coreOps
	if n := len(b.free); n > 0 {
		o = b.free[n-1]
		b.free = b.free[:n-1]
	} else {
		o = &coreOps{sorted: true}
	}
	o.core = c
	b.cores = append(b.cores, o)
	b.last = o
	return o
}

func (b *Batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// SetHead replaces the head, except Contiguous. The signature is retained.
func (b *Batch) SetHead(c *Core, h Head) {
	if max(h.Fork, h.Length, h.ByteLength, uint64(h.Flags)) > compact.MaxUint {
		b.fail(fmt.Errorf("%w: head of %d blocks on fork %d", ErrTooLarge, h.Length, h.Fork))
		return
	}
	o := b.ops(c)
	o.headBuf.Head = h
	o.head = &o.headBuf
}

// SetAuth replaces the auth record.
func (b *Batch) SetAuth(c *Core, a Auth) {
	b.ops(c)
	b.records = append(b.records, record{key: appendCoreKey(nil, c.id, partAuth), value: a.append(nil)})
}

// SetUserData stores value under name; nil removes it.
func (b *Batch) SetUserData(c *Core, name string, value []byte) {
	b.ops(c)
	key := append(appendCoreKey(nil, c.id, partUser), name...)
	b.records = append(b.records, record{key: key, value: slices.Clone(value), del: value == nil})
}

// PutNode stores a tree node.
func (b *Batch) PutNode(c *Core, n merkle.Node) { b.ops(c).putNode(b, &n) }

// PutNodes stores tree nodes.
func (b *Batch) PutNodes(c *Core, nodes []merkle.Node) {
	o := b.ops(c)
	for i := range nodes {
		o.putNode(b, &nodes[i])
	}
}

func (o *coreOps) putNode(b *Batch, n *merkle.Node) {
	if n.Index > 2*MaxIndex {
		b.fail(fmt.Errorf("%w: node %d", ErrTooLarge, n.Index))
		return
	}
	layer, page, slot := treeSlot(n.Index)
	p := o.last[layer]
	if p == nil || p.page != page {
		p = o.nodePage(layer, page)
		o.last[layer] = p
	}
	p.set |= 1 << slot
	e := &p.nodes[slot]
	e.size, e.hash = n.Size, n.Hash
}

func (o *coreOps) nodePage(layer byte, page uint64) *nodePage {
	k := uint64(layer)<<48 | page
	if p := o.byPage[k]; p != nil {
		return p
	}
	if o.byPage == nil {
		o.byPage = map[uint64]*nodePage{}
	}
	var p *nodePage
	if n := len(o.spare); n > 0 {
		p = o.spare[n-1]
		o.spare = o.spare[:n-1]
	} else {
		p = &nodePage{}
	}
	p.layer, p.page, p.set = layer, page, 0
	o.byPage[k] = p
	o.nodes = append(o.nodes, p)
	return p
}

// PutBlock stores a block and marks it as held. data is retained until Commit
// returns or the batch is reset.
func (b *Batch) PutBlock(c *Core, i uint64, data []byte) { b.ops(c).putBlock(b, i, data) }

// PutBlocks stores consecutive blocks from start on, like PutBlock.
func (b *Batch) PutBlocks(c *Core, start uint64, blocks [][]byte) {
	o := b.ops(c)
	for i, data := range blocks {
		o.putBlock(b, start+uint64(i), data)
	}
}

func (o *coreOps) putBlock(b *Batch, i uint64, data []byte) {
	if i > MaxIndex || len(data) > MaxBlock {
		b.fail(fmt.Errorf("%w: block %d of %d bytes", ErrTooLarge, i, len(data)))
		return
	}
	if n := len(o.blocks); n > 0 && o.blocks[n-1].index >= i {
		o.sorted = false
	}
	o.blocks = append(o.blocks, blockPut{index: i, data: data, large: len(data) >= largeBlock})
}

// ClearBlocks removes the blocks of [start, end). Their tree nodes stay.
func (b *Batch) ClearBlocks(c *Core, start, end uint64) {
	end = min(end, MaxIndex+1)
	if start >= end {
		return
	}
	o := b.ops(c)
	o.blocks = slices.DeleteFunc(o.blocks, func(p blockPut) bool { return p.index >= start && p.index < end })
	o.cuts = append(o.cuts, span{start, end})
}

// TruncateBlocks removes all blocks from length on.
func (b *Batch) TruncateBlocks(c *Core, length uint64) { b.ClearBlocks(c, length, MaxIndex+1) }

// TruncateNodes removes all nodes that are not part of a tree of the given
// length in blocks: those over a block beyond it.
func (b *Batch) TruncateNodes(c *Core, length uint64) {
	o := b.ops(c)
	for _, p := range o.nodes {
		p.set &^= nodesBeyond(p.layer, p.page, length)
	}
	o.nodeCut = append(o.nodeCut, length)
}

// nodesBeyond returns the slots of a tree page that lie over blocks from length
// on.
func nodesBeyond(layer byte, page, length uint64) uint64 {
	const all = 1<<63 - 1
	units := length >> (layerDepth * uint(layer)) // whole leaves of this layer
	first := page << blockShift
	if units <= first {
		return all
	}
	if units-first >= blockSlots {
		return 0
	}
	m := uint(units - first)
	var beyond uint64
	for slot := range uint(63) {
		depth := uint(bits.TrailingZeros64(^uint64(slot)))
		if right := ((slot+1)>>(depth+1))<<depth + 1<<depth; right > m {
			beyond |= 1 << slot
		}
	}
	return beyond
}
