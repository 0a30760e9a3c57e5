package hyperblobs

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

// mapWriter appends the chunks of a mapped blob and then its map. Chunks that
// the log already has are only listed. It is used by one goroutine.
type mapWriter struct {
	ctx   context.Context
	b     *Blobs
	dedup *dedup // nil: every chunk is appended

	pieces    []Piece
	size      uint64         // bytes of all pieces
	appended  uint64         // bytes of those that were not shared
	positions map[uint64]int // of appended chunks in pieces, by hash

	group   [][]byte // chunks not yet appended
	groupAt []int    // their positions in pieces
	aliases []alias  // pieces that repeat a chunk of the group
}

type alias struct{ at, of int } // positions in pieces

func (b *Blobs) newMapWriter(ctx context.Context, d *dedup) *mapWriter {
	return &mapWriter{ctx: ctx, b: b, dedup: d, positions: make(map[uint64]int)}
}

// add lists chunk as the next piece. The chunk must not change until flush.
func (w *mapWriter) add(chunk []byte) error {
	if len(w.pieces) == maxMapEntries {
		return fmt.Errorf("%w: more than %d chunks", ErrTooLarge, maxMapEntries)
	}
	at := len(w.pieces)
	w.size += uint64(len(chunk))
	p := Piece{Length: uint64(len(chunk))}
	if w.dedup != nil {
		if shared, ok := w.dedup.findBase(chunk); ok {
			w.pieces = append(w.pieces, shared)
			return nil
		}
		h := w.dedup.hash(chunk)
		if of, ok := w.positions[h]; ok && w.pieces[of].Length == p.Length {
			if i, pending := slices.BinarySearch(w.groupAt, of); !pending {
				if w.dedup.equal(w.pieces[of], chunk) {
					w.pieces = append(w.pieces, w.pieces[of])
					return nil
				}
			} else if bytes.Equal(w.group[i], chunk) {
				w.aliases = append(w.aliases, alias{at, of})
				w.pieces = append(w.pieces, p)
				return nil
			}
		}
		w.positions[h] = at
	}
	w.pieces = append(w.pieces, p)
	w.group = append(w.group, chunk)
	w.groupAt = append(w.groupAt, at)
	w.appended += p.Length
	return nil
}

// flush appends the chunks that wait.
func (w *mapWriter) flush() error {
	if len(w.group) > 0 {
		w.b.mu.Lock()
		start, _, err := w.b.appendLocked(w.ctx, w.group)
		w.b.mu.Unlock()
		if err != nil {
			return err
		}
		for i, at := range w.groupAt {
			w.pieces[at].Index = start + uint64(i)
		}
	}
	for _, a := range w.aliases {
		w.pieces[a.at].Index = w.pieces[a.of].Index
	}
	clear(w.group)
	w.group, w.groupAt, w.aliases = w.group[:0], w.groupAt[:0], w.aliases[:0]
	return nil
}

// finish appends the map and returns the blob's ID.
func (w *mapWriter) finish() (ID, error) {
	if err := w.flush(); err != nil {
		return ID{}, err
	}
	blocks := encodeMap(w.pieces)
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	blockOffset, byteOffset, err := w.b.appendLocked(w.ctx, blocks)
	if err != nil {
		return ID{}, err
	}
	id := ID{BlockOffset: blockOffset, BlockLength: uint64(len(blocks)), ByteOffset: byteOffset, BlockMap: true}
	for _, m := range blocks {
		id.ByteLength += uint64(len(m))
	}
	w.appended += id.ByteLength
	return id, nil
}

// drop frees the storage of what was appended, for a blob that will not be
// finished. The log does not get shorter.
func (w *mapWriter) drop(ctx context.Context) {
	owned := make([]uint64, 0, len(w.positions))
	for _, at := range w.positions {
		if _, pending := slices.BinarySearch(w.groupAt, at); !pending && at < len(w.pieces) {
			owned = append(owned, w.pieces[at].Index)
		}
	}
	slices.Sort(owned)
	for r := range runs(owned) {
		// A failure leaves unused blocks behind, which is no error.
		_ = w.b.core.Clear(ctx, r.Start, r.End)
	}
}

// sameAs tells whether nothing was appended and the pieces are those of base, so
// that the content did not change.
func (w *mapWriter) sameAs(base []Piece) bool {
	return w.appended == 0 && len(base) > 0 && slices.Equal(w.pieces, base)
}
