package hyperblobs

import (
	"bytes"
	"hash/maphash"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// sameLengthTries bounds how many stored blocks of equal length are read to find
// out whether one equals a chunk.
const sameLengthTries = 8

// dedup finds chunks that the log already has: in the previous version, or
// earlier in the same content. Candidates come from lengths and a fast hash;
// only equal bytes count.
type dedup struct {
	core *hypercore.Core

	base     []Piece
	byLength map[uint64][]int32 // positions in base
	next     int                // position after the last match
	held     bool               // false once a block of base was not held

	seed maphash.Seed
	seen map[uint64]Piece // by hash: what this content appended
}

func newDedup(core *hypercore.Core, base []Piece) *dedup {
	d := &dedup{core: core, base: base, held: true, seed: maphash.MakeSeed(), seen: make(map[uint64]Piece)}
	if len(base) > 0 {
		d.byLength = make(map[uint64][]int32, len(base))
		for i, p := range base {
			d.byLength[p.Length] = append(d.byLength[p.Length], int32(i))
		}
	}
	return d
}

// findBase returns the block of the previous version that equals chunk. Chunks
// mostly follow each other as they did, so the next position is tried first.
func (d *dedup) findBase(chunk []byte) (Piece, bool) {
	n := uint64(len(chunk))
	tried := -1
	if d.next < len(d.base) && d.base[d.next].Length == n {
		if tried = d.next; d.equal(d.base[tried], chunk) {
			d.next++
			return d.base[tried], true
		}
	}
	same := d.byLength[n]
	for _, i := range same[:min(len(same), sameLengthTries)] {
		if int(i) != tried && d.equal(d.base[i], chunk) {
			d.next = int(i) + 1
			return d.base[i], true
		}
	}
	return Piece{}, false
}

// equal compares with a stored block. A block that is not held here counts as
// different: fetching it to save storing it again would help nobody.
func (d *dedup) equal(p Piece, chunk []byte) bool {
	stored, err := d.core.GetLocal(p.Index)
	return err == nil && bytes.Equal(stored, chunk)
}

func (d *dedup) hash(chunk []byte) uint64 { return maphash.Bytes(d.seed, chunk) }
