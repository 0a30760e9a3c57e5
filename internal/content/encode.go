package content

import (
	"encoding/binary"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The first byte of an encoded Ref.
const (
	formInline = 1 // a list of parts follows
	formTable  = 2 // one part follows, which holds the list
)

const (
	// maxInline is how long an encoded list may be to be kept in the Ref itself.
	maxInline = 512
	// maxTable is the longest list that readers accept: what MaxParts parts in
	// MaxLogs logs can need.
	maxTable = MaxLogs*32 + MaxParts*maxPart + 16
	// maxPart is the longest encoded part: an index and four varints of 54 bits.
	maxPart = 2 + 4*8
)

// Encode returns where the content is. Size and Hash are not part of it: who keeps
// the bytes keeps them beside.
func (r Ref) Encode() []byte {
	if r.Table != nil {
		return appendParts([]byte{formTable}, []Part{*r.Table})
	}
	return appendParts([]byte{formInline}, r.Parts)
}

// Decode returns the Ref of content of the given size and hash that was encoded.
func Decode(size uint64, hash hypercrypto.Hash, b []byte) (Ref, error) {
	r := Ref{Size: size, Hash: hash}
	if len(b) == 0 || len(b) > MaxEncoded {
		return Ref{}, fmt.Errorf("%w: %d bytes", ErrInvalid, len(b))
	}
	parts, err := decodeParts(b[1:])
	if err != nil {
		return Ref{}, err
	}
	switch b[0] {
	case formInline:
		r.Parts = parts
	case formTable:
		if len(parts) != 1 {
			return Ref{}, fmt.Errorf("%w: %d tables", ErrInvalid, len(parts))
		}
		r.Table = &parts[0]
	default:
		return Ref{}, fmt.Errorf("%w: form %d is unknown", ErrInvalid, b[0])
	}
	return r, r.Check()
}

// logEnd is where the part before ended in a log. Parts are written as their
// distance from there, which mostly is small.
type logEnd struct{ block, byte uint64 }

// appendParts appends
//
//	uvarint, 32 bytes each     the logs
//	uvarint                    the number of parts
//	per part:
//	    uvarint                0: zeros; else 1 + position of the log
//	    uvarint                bytes
//	    uvarint                blocks            (not of zeros, nor the rest)
//	    varint, varint         first block and first byte, each less the end of
//	                           the part before in the same log, at first 0
func appendParts(b []byte, parts []Part) []byte {
	var logs []hypercrypto.Key
	at := make(map[hypercrypto.Key]int)
	for _, p := range parts {
		if _, ok := at[p.Log]; !ok && !p.Zeros() {
			at[p.Log] = len(logs)
			logs = append(logs, p.Log)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(logs)))
	for _, k := range logs {
		b = append(b, k[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(parts)))
	ends := make([]logEnd, len(logs))
	for _, p := range parts {
		if p.Zeros() {
			b = binary.AppendUvarint(b, 0)
			b = binary.AppendUvarint(b, p.Blob.ByteLength)
			continue
		}
		i := at[p.Log]
		b = binary.AppendUvarint(b, uint64(i+1))
		b = binary.AppendUvarint(b, p.Blob.ByteLength)
		b = binary.AppendUvarint(b, p.Blob.BlockLength)
		b = binary.AppendVarint(b, int64(p.Blob.BlockOffset-ends[i].block))
		b = binary.AppendVarint(b, int64(p.Blob.ByteOffset-ends[i].byte))
		ends[i] = logEnd{p.Blob.End(), p.Blob.ByteOffset + p.Blob.ByteLength}
	}
	return b
}

// partsReader decodes. After the first error everything is zero.
type partsReader struct {
	b   []byte
	err error
}

func (r *partsReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	return uint64(r.varintDone(int64(v), n))
}

func (r *partsReader) varint() int64 {
	v, n := binary.Varint(r.b)
	return r.varintDone(v, n)
}

func (r *partsReader) varintDone(v int64, n int) int64 {
	if n <= 0 && r.err == nil {
		r.err = fmt.Errorf("%w: number does not end", ErrInvalid)
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of elements of at least size bytes.
func (r *partsReader) count(most, size int) int {
	n := r.uvarint()
	if r.err == nil && (n > uint64(most) || n > uint64(len(r.b)/size)) {
		r.err = fmt.Errorf("%w: list of %d", ErrInvalid, n)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// decodeParts reads what appendParts wrote, and nothing may follow. Sums and sizes
// are for checkParts.
func decodeParts(b []byte) ([]Part, error) {
	r := partsReader{b: b}
	logs := make([]hypercrypto.Key, r.count(MaxLogs, len(hypercrypto.Key{})))
	for i := range logs {
		r.b = r.b[copy(logs[i][:], r.b):]
		if logs[i] == (hypercrypto.Key{}) {
			return nil, fmt.Errorf("%w: log without a key", ErrInvalid)
		}
	}
	ends := make([]logEnd, len(logs))
	parts := make([]Part, 0, r.count(MaxParts, 2))
	for range cap(parts) {
		i := r.uvarint()
		p := zeros(r.uvarint())
		if i > uint64(len(logs)) && r.err == nil {
			r.err = fmt.Errorf("%w: log %d of %d", ErrInvalid, i, len(logs))
		}
		if r.err == nil && i > 0 {
			end := &ends[i-1]
			p.Log = logs[i-1]
			p.Blob = hyperblobs.ID{
				ByteLength:  p.Blob.ByteLength,
				BlockLength: r.uvarint(),
				BlockOffset: end.block + uint64(r.varint()),
				ByteOffset:  end.byte + uint64(r.varint()),
			}
			if r.err == nil {
				r.err = p.check()
			}
			*end = logEnd{p.Blob.End(), p.Blob.ByteOffset + p.Blob.ByteLength}
		}
		if r.err != nil {
			return nil, r.err
		}
		parts = append(parts, p)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%w: %d bytes too many", ErrInvalid, len(r.b))
	}
	return parts, r.err
}
