package content

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

const (
	// MaxParts is the largest number of parts that content may have.
	MaxParts = 1 << 14
	// MaxLogs is the largest number of logs that content may be spread over.
	MaxLogs = 256
	// MaxEncoded is the largest encoded Ref in bytes.
	MaxEncoded = 1 << 10
)

// ErrInvalid is the error of a Ref that contradicts itself or its logs. Who wrote
// it is at fault; trying again does not help.
var ErrInvalid = errors.New("content: invalid reference")

// Ref says what content is and where. The zero Ref with the right Hash is that of
// empty content; see [Empty].
type Ref struct {
	// Size is the length in bytes, Hash that of all bytes, see package digest.
	Size uint64
	Hash hypercrypto.Hash
	// Parts are where the content is, in order, if they are few.
	Parts []Part
	// Table is else where the list of the parts is.
	Table *Part
}

// Part is a run of blocks in a log, or a run of zeros that is stored nowhere.
type Part struct {
	// Log is the key of the log, zero for zeros.
	Log hypercrypto.Key
	// Blob is the run as a plain blob. Of zeros it has only ByteLength.
	Blob hyperblobs.ID
}

// Empty is the Ref of empty content.
func Empty() Ref { return Ref{Hash: digest.Sum(nil)} }

// zeros returns the part of n zero bytes.
func zeros(n uint64) Part { return Part{Blob: hyperblobs.ID{ByteLength: n}} }

// Zeros tells whether the part is zeros that are stored nowhere.
func (p Part) Zeros() bool { return p.Log == hypercrypto.Key{} }

// Size returns the length of the part in bytes.
func (p Part) Size() uint64 { return p.Blob.ByteLength }

// joins tells whether q continues p, so that both are one part.
func (p Part) joins(q Part) bool {
	return p.Log == q.Log && (p.Zeros() || p.Blob.End() == q.Blob.BlockOffset && p.Blob.ByteOffset+p.Blob.ByteLength == q.Blob.ByteOffset)
}

// addPart appends p, or lets the last part grow by it.
func addPart(parts []Part, p Part) []Part {
	if n := len(parts); n > 0 && parts[n-1].joins(p) {
		parts[n-1].Blob.BlockLength += p.Blob.BlockLength
		parts[n-1].Blob.ByteLength += p.Blob.ByteLength
		return parts
	}
	return append(parts, p)
}

// check refuses numbers that no log can have, empty parts and empty blocks.
func (p Part) check() error {
	b := p.Blob
	for _, n := range []uint64{b.BlockOffset, b.BlockLength, b.ByteOffset, b.ByteLength} {
		if n > compact.MaxUint {
			return fmt.Errorf("%w: %d is above 2^53-1", ErrInvalid, n)
		}
	}
	switch {
	case b.End() > compact.MaxUint || b.ByteOffset+b.ByteLength > compact.MaxUint:
		return fmt.Errorf("%w: end is above 2^53-1", ErrInvalid)
	case b.ByteLength == 0:
		return fmt.Errorf("%w: empty part", ErrInvalid)
	case p.Zeros():
		if b.BlockOffset != 0 || b.BlockLength != 0 || b.ByteOffset != 0 {
			return fmt.Errorf("%w: zeros in a log", ErrInvalid)
		}
	case b.BlockMap:
		return fmt.Errorf("%w: part with a block map", ErrInvalid)
	case b.BlockLength == 0 || b.BlockLength > b.ByteLength || b.ByteLength/hypercore.MaxBlockSize > b.BlockLength:
		return fmt.Errorf("%w: %d bytes in %d blocks", ErrInvalid, b.ByteLength, b.BlockLength)
	}
	return nil
}

// checkParts refuses lists that no content can have.
func checkParts(size uint64, parts []Part) error {
	if len(parts) > MaxParts {
		return fmt.Errorf("%w: %d parts", ErrInvalid, len(parts))
	}
	var sum uint64
	for i, p := range parts {
		if err := p.check(); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
		if sum += p.Size(); sum > compact.MaxUint {
			return fmt.Errorf("%w: content above 2^53 bytes", ErrInvalid)
		}
	}
	if sum != size {
		return fmt.Errorf("%w: parts have %d bytes, content %d", ErrInvalid, sum, size)
	}
	return nil
}

// Check refuses a Ref that no content can have. It needs no log; what a table or
// the logs say is checked when they are read.
func (r Ref) Check() error {
	if r.Size > compact.MaxUint {
		return fmt.Errorf("%w: content above 2^53 bytes", ErrInvalid)
	}
	if r.Table == nil {
		return checkParts(r.Size, r.Parts)
	}
	switch t := r.Table; {
	case len(r.Parts) > 0:
		return fmt.Errorf("%w: parts and a table", ErrInvalid)
	case t.Zeros():
		return fmt.Errorf("%w: table of zeros", ErrInvalid)
	case t.Size() > maxTable:
		return fmt.Errorf("%w: table of %d bytes", ErrInvalid, t.Size())
	}
	return r.Table.check()
}
