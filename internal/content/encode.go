package content

import (
	"encoding/binary"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The first byte of an encoded Ref.
const (
	formInline = 1 // a list of parts follows
	formTable  = 2 // the size and one part follow, which holds the list
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

// Encode returns size and place of the content. Hash is not part of it: who keeps the
// bytes keeps the hash beside.
func (r Ref) Encode() []byte {
	if r.Table != nil {
		b := binary.AppendUvarint([]byte{formTable}, r.Size)
		return appendParts(b, []Part{*r.Table})
	}
	return appendParts([]byte{formInline}, r.Parts)
}

// Decode returns the Ref of content of the given hash that was encoded.
func Decode(hash hypercrypto.Hash, b []byte) (Ref, error) {
	if len(b) == 0 || len(b) > MaxEncoded {
		return Ref{}, fmt.Errorf("%w: %d bytes", ErrInvalid, len(b))
	}
	ref := Ref{Hash: hash}
	r := partsReader{b: b[1:]}
	switch b[0] {
	case formInline:
		ref.Parts = r.parts()
		for _, p := range ref.Parts {
			ref.Size = min(ref.Size+p.Size(), compact.MaxUint+1) // and Check refuses it
		}
	case formTable:
		ref.Size = r.uvarint()
		parts := r.parts()
		if len(parts) != 1 && r.err == nil {
			return Ref{}, fmt.Errorf("%w: %d tables", ErrInvalid, len(parts))
		}
		if r.err == nil {
			ref.Table = &parts[0]
		}
	default:
		return Ref{}, fmt.Errorf("%w: form %d is unknown", ErrInvalid, b[0])
	}
	if r.err != nil {
		return Ref{}, r.err
	}
	return ref, ref.Check()
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

func (r *partsReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
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
	if n <= 0 {
		r.fail("number does not end")
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
	if n > uint64(most) || n > uint64(len(r.b)/size) {
		r.fail("list of %d", n)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// parts reads what appendParts wrote, up to the end. Sums and sizes are for
// checkParts.
func (r *partsReader) parts() []Part {
	logs := make([]hypercrypto.Key, r.count(MaxLogs, len(hypercrypto.Key{})))
	for i := range logs {
		r.b = r.b[copy(logs[i][:], r.b):]
		if logs[i] == (hypercrypto.Key{}) {
			r.fail("log without a key")
		}
	}
	ends := make([]logEnd, len(logs))
	parts := make([]Part, r.count(MaxParts, 2))
	for i := range parts {
		log := r.uvarint()
		parts[i] = zeros(r.uvarint())
		if log > uint64(len(logs)) {
			r.fail("log %d of %d", log, len(logs))
		}
		if log > 0 && r.err == nil {
			parts[i] = r.place(logs[log-1], &ends[log-1], parts[i].Size())
		}
		if r.err != nil {
			return nil
		}
	}
	if len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return parts
}

// place reads where a part of n bytes is in its log.
func (r *partsReader) place(log hypercrypto.Key, end *logEnd, n uint64) Part {
	p := Part{Log: log, Blob: hyperblobs.ID{
		ByteLength:  n,
		BlockLength: r.uvarint(),
		BlockOffset: end.block + uint64(r.varint()),
		ByteOffset:  end.byte + uint64(r.varint()),
	}}
	if r.err == nil {
		r.err = p.check()
	}
	*end = logEnd{p.Blob.End(), p.Blob.ByteOffset + p.Blob.ByteLength}
	return p
}

// decodeParts reads a list.
func decodeParts(b []byte) ([]Part, error) {
	r := partsReader{b: b}
	return r.parts(), r.err
}
