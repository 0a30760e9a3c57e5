package hyperblobs

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// A map block is
//
//	uint 0                     version
//	array of {
//	    uint                   block index
//	    uint                   byte length of that block
//	}
const (
	mapVersion    = 0
	mapEntries    = 8192 // per block, as the JavaScript writer fills them
	maxMapBlocks  = 64   // readers refuse more
	maxMapEntries = mapEntries * maxMapBlocks
)

// Piece is one block of a mapped blob.
type Piece struct {
	Index  uint64 // of the block in the log
	Length uint64 // bytes
}

// appendMap appends one map block for up to mapEntries pieces.
func appendMap(b []byte, pieces []Piece) []byte {
	b = compact.AppendUint(b, mapVersion)
	b = compact.AppendUint(b, uint64(len(pieces)))
	for _, p := range pieces {
		b = compact.AppendUint(b, p.Index)
		b = compact.AppendUint(b, p.Length)
	}
	return b
}

// encodeMap returns the map blocks for a whole blob.
func encodeMap(pieces []Piece) (blocks [][]byte) {
	for {
		n := min(len(pieces), mapEntries)
		blocks = append(blocks, appendMap(make([]byte, 0, 4+8*n), pieces[:n]))
		if pieces = pieces[n:]; len(pieces) == 0 {
			return blocks
		}
	}
}

// decodeMap appends the pieces of one map block to pieces. No piece may lie at or
// above end, where the map begins.
func decodeMap(pieces []Piece, block []byte, end uint64) ([]Piece, error) {
	r := compact.NewReader(block)
	if v := r.Uint(); r.Err() == nil && v != mapVersion {
		return nil, fmt.Errorf("%w: map version %d is unknown", ErrInvalid, v)
	}
	n := r.Count(2)
	if len(pieces)+n > maxMapEntries {
		return nil, fmt.Errorf("%w: map of more than %d entries", ErrInvalid, maxMapEntries)
	}
	for range n {
		p := Piece{Index: r.Uint(), Length: r.Uint()}
		if r.Err() == nil && p.Index >= end {
			return nil, fmt.Errorf("%w: map points to block %d, which is not before it", ErrInvalid, p.Index)
		}
		pieces = append(pieces, p)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: map: %w", ErrInvalid, err)
	}
	return pieces, nil
}

// size returns the bytes of all pieces. ok is false if the sum is no length that
// a blob can have.
func size(pieces []Piece) (n uint64, ok bool) {
	for _, p := range pieces {
		if n += p.Length; n > compact.MaxUint {
			return 0, false
		}
	}
	return n, true
}
