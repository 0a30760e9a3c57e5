package hyperblobs

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// ErrInvalid is the error of a blob whose ID, map or blocks contradict each
// other. The writer of the log is at fault; trying again does not help.
var ErrInvalid = errors.New("hyperblobs: invalid blob")

// ErrTooLarge is the error of content that needs a longer map than readers
// accept.
var ErrTooLarge = errors.New("hyperblobs: blob too large")

// ID names a blob in one log. The zero value is the empty blob.
type ID struct {
	// BlockOffset and BlockLength are the run of blocks that hold the content,
	// or the map if BlockMap is set.
	BlockOffset uint64
	BlockLength uint64
	// ByteOffset and ByteLength are the same run in bytes, without the padding
	// of encrypted logs.
	ByteOffset uint64
	ByteLength uint64
	// BlockMap tells that the blocks hold a map. ByteLength is then the size of
	// the map; [Blobs.Size] knows that of the content.
	BlockMap bool
}

// End returns the log length that the blob needs. The content of a mapped blob
// always lies before its map.
func (id ID) End() uint64 { return id.BlockOffset + id.BlockLength }

// IsZero tells whether id is the zero value.
func (id ID) IsZero() bool { return id == ID{} }

// check refuses numbers that no log can have.
func (id ID) check() error {
	for _, n := range []uint64{id.BlockOffset, id.BlockLength, id.ByteOffset, id.ByteLength} {
		if n > compact.MaxUint {
			return fmt.Errorf("%w: %d is above 2^53-1", ErrInvalid, n)
		}
	}
	if id.End() > compact.MaxUint || id.ByteOffset+id.ByteLength > compact.MaxUint {
		return fmt.Errorf("%w: end is above 2^53-1", ErrInvalid)
	}
	if id.BlockMap && id.BlockLength > maxMapBlocks {
		return fmt.Errorf("%w: map of %d blocks", ErrInvalid, id.BlockLength)
	}
	if id.BlockLength == 0 && id.ByteLength > 0 {
		return fmt.Errorf("%w: %d bytes in no blocks", ErrInvalid, id.ByteLength)
	}
	return nil
}
