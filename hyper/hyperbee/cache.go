package hyperbee

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// cache keeps parsed blocks by seq, in at most a given number of bytes. Blocks
// with near seqs share a page, so that a block costs little more than its
// bytes: building and reading a large tree touches the keys of blocks all over
// the log, and the more of them fit the fewer blocks are read again.
//
// The content belongs to one fork of the log. A reader of another fork neither
// sees nor adds anything.
type cache struct {
	fork   atomic.Uint64 // of all shards, unless truncate runs
	shards [cacheShards]cacheShard
}

const (
	cacheShards = 8
	pageSpan    = 64 // seqs per page

	// Blocks are kept with their value up to maxCachedValue and not at all above
	// maxCachedBlock bytes of key and index.
	maxCachedValue = 512
	maxCachedBlock = 16 << 10

	// A truncated page keeps the bytes of dropped records; one above this size is
	// dropped instead, so that repeated truncation cannot grow it.
	maxTruncatedPage = 16 << 10

	pageOverhead = 128
)

type cacheShard struct {
	mu    sync.Mutex
	fork  uint64
	pages map[uint64]*page
	clock []*page
	hand  int
	bytes int
	limit int
}

// page holds the blocks of pageSpan consecutive seqs. Records are only ever
// appended to buf, so slices into it stay valid when it grows or is evicted.
type page struct {
	id   uint64
	have uint64   // bit i: seq id*pageSpan+i is present
	offs []uint32 // start in buf of the present ones, in order of seq
	buf  []byte
	slot int // position in the shard's clock
	used bool
}

func newCache(limit int, fork uint64) *cache {
	c := &cache{}
	c.fork.Store(fork)
	for i := range c.shards {
		s := &c.shards[i]
		s.fork, s.limit = fork, limit/cacheShards
		s.pages = make(map[uint64]*page)
	}
	return c
}

func (c *cache) shard(seq uint64) *cacheShard { return &c.shards[seq/pageSpan%cacheShards] }

// get returns the block seq of a fork. Its value may have been left out; see
// block.hasValue.
func (c *cache) get(seq, fork uint64) (block, bool) {
	s := c.shard(seq)
	s.mu.Lock()
	if s.fork != fork {
		s.mu.Unlock()
		return block{}, false
	}
	p := s.pages[seq/pageSpan]
	if p == nil {
		s.mu.Unlock()
		return block{}, false
	}
	bit := uint64(1) << (seq % pageSpan)
	if p.have&bit == 0 {
		s.mu.Unlock()
		return block{}, false
	}
	p.used = true
	rec := p.buf[p.offs[bits.OnesCount64(p.have&(bit-1))]:]
	s.mu.Unlock()
	return decodeRecord(rec), true
}

// has reports whether get would find a block.
func (c *cache) has(seq, fork uint64) bool {
	s := c.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pages[seq/pageSpan]
	return s.fork == fork && p != nil && p.have&(1<<(seq%pageSpan)) != 0
}

// fits reports whether all blocks of a log would fit.
func (c *cache) fits(length, byteLength uint64) bool {
	return byteLength+byteLength/4+16*length < uint64(max(0, c.shards[0].limit))*cacheShards
}

// put adds a block. A longer value than maxCachedValue is left out.
func (c *cache) put(seq, fork uint64, b *block) {
	if len(b.key)+len(b.index) > maxCachedBlock {
		return
	}
	value := b.value
	if len(value) > maxCachedValue {
		value = nil
	}
	s := c.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fork != fork {
		return
	}
	p := s.pages[seq/pageSpan]
	if p == nil {
		p = &page{id: seq / pageSpan, slot: len(s.clock)}
		s.pages[p.id] = p
		s.clock = append(s.clock, p)
		s.bytes += pageOverhead
	}
	s.bytes += p.add(seq%pageSpan, b, value)
	for s.bytes > s.limit && len(s.clock) > 0 {
		s.evictLocked()
	}
}

// add stores a record and returns the growth of the page in bytes.
func (p *page) add(i uint64, b *block, value []byte) int {
	before := cap(p.buf) + 4*cap(p.offs)
	bit := uint64(1) << i
	rank := bits.OnesCount64(p.have & (bit - 1))
	if p.have&bit != 0 {
		if value == nil || recordHasValue(p.buf[p.offs[rank]]) {
			return 0
		}
	} else {
		p.have |= bit
		p.offs = append(p.offs, 0)
		copy(p.offs[rank+1:], p.offs[rank:])
	}
	p.offs[rank] = uint32(len(p.buf))
	p.buf = appendRecord(p.buf, b, value)
	if p.have == 1<<pageSpan-1 && cap(p.buf)-len(p.buf) > len(p.buf)/16 {
		p.buf = append(make([]byte, 0, len(p.buf)), p.buf...)
	}
	return cap(p.buf) + 4*cap(p.offs) - before
}

// evictLocked drops the next page that was not used since the hand last passed.
func (s *cacheShard) evictLocked() {
	for {
		if s.hand >= len(s.clock) {
			s.hand = 0
		}
		p := s.clock[s.hand]
		if !p.used {
			s.dropLocked(p)
			return
		}
		p.used = false
		s.hand++
	}
}

func (s *cacheShard) dropLocked(p *page) {
	last := s.clock[len(s.clock)-1]
	last.slot = p.slot
	s.clock[p.slot] = last
	s.clock[len(s.clock)-1] = nil
	s.clock = s.clock[:len(s.clock)-1]
	delete(s.pages, p.id)
	s.bytes -= pageOverhead + cap(p.buf) + 4*cap(p.offs)
}

// clear drops everything.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.pages, s.clock, s.hand, s.bytes = make(map[uint64]*page), nil, 0, 0
		s.mu.Unlock()
	}
}

// truncate moves the cache to another fork, which shares the blocks below
// length with the one before.
func (c *cache) truncate(length, fork uint64) {
	c.fork.Store(fork)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.fork = fork
		for id, p := range s.pages {
			if (id+1)*pageSpan <= length {
				continue
			}
			if id*pageSpan >= length || len(p.buf) > maxTruncatedPage {
				s.dropLocked(p)
			} else if n := length - id*pageSpan; n < pageSpan {
				p.have &= 1<<n - 1
				p.offs = p.offs[:bits.OnesCount64(p.have)]
			}
		}
		s.mu.Unlock()
	}
}

// follow moves an outdated cache to a fork that nothing is known about.
func (c *cache) follow(fork uint64) {
	if old := c.fork.Load(); fork > old && c.fork.CompareAndSwap(old, fork) {
		c.truncate(0, fork)
	}
}

// A record is: flags, key length, key, index length, index, and, when kept,
// value length, value.
const (
	recordValue     = 1 // the block has a value
	recordValueKept = 2
)

func recordHasValue(flags byte) bool { return flags&recordValueKept != 0 }

func appendRecord(buf []byte, b *block, value []byte) []byte {
	flags := byte(0)
	if b.hasValue {
		flags = recordValue
	}
	if value != nil {
		flags |= recordValueKept
	}
	buf = append(buf, flags)
	buf = append(appendVarint(buf, uint64(len(b.key))), b.key...)
	buf = append(appendVarint(buf, uint64(len(b.index))), b.index...)
	if value != nil {
		buf = append(appendVarint(buf, uint64(len(value))), value...)
	}
	return buf
}

func decodeRecord(rec []byte) block {
	flags := rec[0]
	b := block{hasValue: flags&recordValue != 0}
	b.key, rec = recordField(rec[1:])
	b.index, rec = recordField(rec)
	if recordHasValue(flags) {
		b.value, _ = recordField(rec)
	}
	return b
}

func recordField(rec []byte) (field, rest []byte) {
	size, n := varint(rec)
	end := n + int(size)
	return rec[n:end:end], rec[end:]
}
