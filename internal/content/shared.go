package content

import (
	"bytes"
	"context"
	"hash/maphash"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	// sameLengthTries bounds how many chunks of equal length are read to find out
	// whether one equals another.
	sameLengthTries = 8
	// maxSeen bounds how many appended chunks are remembered.
	maxSeen = 1 << 17
	// maxBase bounds how many chunks of the version before are candidates; more than
	// a terabyte has.
	maxBase = 1 << 20
)

// shared finds chunks that some log has already: in the version before, or earlier
// in the same content. Candidates come from lengths and a fast hash; only equal
// bytes count.
type shared struct {
	s *Store

	logs     []baseLog
	base     []chunk            // the version before
	byLength map[uint32][]int32 // positions in base
	next     int                // position after the last match

	seed maphash.Seed
	seen map[uint64]chunk // by hash: what was appended to the own log
	buf  []byte           // for reading stored chunks
}

type baseLog struct {
	key   hypercrypto.Key
	blobs *hyperblobs.Blobs
}

// chunk is one block of a log.
type chunk struct {
	block, byte uint64
	length      uint32
	log         int32 // position in logs; of seen ones unused
}

func newShared(ctx context.Context, s *Store, l *logs, prev *Ref) (*shared, error) {
	d := &shared{s: s, seed: maphash.MakeSeed(), seen: make(map[uint64]chunk)}
	if prev == nil || prev.Size <= SmallSize {
		return d, nil
	}
	if err := d.load(ctx, l, *prev); err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// A version before that cannot be read makes the write larger, not impossible.
	d.byLength = make(map[uint32][]int32)
	for i, c := range d.base {
		d.byLength[c.length] = append(d.byLength[c.length], int32(i))
	}
	return d, nil
}

// load lists the chunks of the version before of which the sizes are known here.
func (d *shared) load(ctx context.Context, l *logs, prev Ref) error {
	parts, err := l.parts(ctx, prev, true)
	if err != nil {
		return err
	}
	at := make(map[hypercrypto.Key]int32)
	for _, p := range parts {
		if p.Zeros() {
			continue
		}
		i, ok := at[p.Log]
		if !ok && len(d.logs) == MaxLogs-1 {
			continue // one place is left for the own log
		}
		if !ok {
			b, err := l.get(ctx, p.Log)
			if err != nil {
				return err
			}
			i = int32(len(d.logs))
			at[p.Log] = i
			d.logs = append(d.logs, baseLog{p.Log, b})
		}
		d.loadPart(i, p.Blob)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *shared) loadPart(log int32, run hyperblobs.ID) {
	core := d.logs[log].blobs.Core()
	for start, end := range core.Held(run.BlockOffset, run.End()) {
		from, err := core.ByteOffset(start)
		for i := start; i < end && err == nil && len(d.base) < maxBase; i++ {
			var to uint64
			if to, err = core.ByteOffset(i + 1); err == nil {
				d.base = append(d.base, chunk{block: i, byte: from, length: uint32(to - from), log: log})
			}
			from = to
		}
	}
}

// findOwn looks in what was written of the content so far. Zeros need no place.
func (d *shared) findOwn(c []byte, hash uint64) (Part, bool) {
	if c[0] == 0 && bytes.Equal(c[1:], c[:len(c)-1]) {
		return zeros(uint64(len(c))), true
	}
	if at, ok := d.seen[hash]; ok && int(at.length) == len(c) && d.equal(d.s.own, at, c) {
		return at.part(d.s.key), true
	}
	return Part{}, false
}

// findBase looks in the version before. Chunks mostly follow each other as they
// did, so the next position is tried first.
func (d *shared) findBase(c []byte) (Part, bool) {
	tried := -1
	if d.next < len(d.base) {
		tried = d.next
		if p, ok := d.sameAs(tried, c); ok {
			return p, true
		}
	}
	same := d.byLength[uint32(len(c))]
	for _, i := range same[:min(len(same), sameLengthTries)] {
		if int(i) == tried {
			continue
		}
		if p, ok := d.sameAs(int(i), c); ok {
			return p, true
		}
	}
	return Part{}, false
}

func (d *shared) sameAs(i int, c []byte) (Part, bool) {
	at := d.base[i]
	log := d.logs[at.log]
	if int(at.length) != len(c) || !d.equal(log.blobs, at, c) {
		return Part{}, false
	}
	d.next = i + 1
	return at.part(log.key), true
}

// equal compares with a stored chunk. One that is not held here counts as
// different: fetching it to save storing it again would help nobody.
func (d *shared) equal(b *hyperblobs.Blobs, at chunk, c []byte) bool {
	stored, err := b.Core().AppendLocal(d.buf[:0], at.block)
	if err != nil {
		return false
	}
	d.buf = stored
	return bytes.Equal(stored, c)
}

func (d *shared) hash(c []byte) uint64 { return maphash.Bytes(d.seed, c) }

// add remembers a chunk that was appended to the own log.
func (d *shared) add(hash uint64, p Part) {
	if len(d.seen) < maxSeen {
		d.seen[hash] = chunk{block: p.Blob.BlockOffset, byte: p.Blob.ByteOffset, length: uint32(p.Size())}
	}
}

func (c chunk) part(log hypercrypto.Key) Part {
	return Part{Log: log, Blob: hyperblobs.ID{BlockOffset: c.block, BlockLength: 1, ByteOffset: c.byte, ByteLength: uint64(c.length)}}
}
