package hyperbee

import (
	"fmt"
	"math/bits"
)

// Protobuf wire format, as far as the blocks and messages here use it: tags
// below 16, varints and length-delimited fields. Unknown fields of all wire
// types are skipped. Varints are bounded to 64 bits.

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func sizeVarint(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

func appendVarint(b []byte, n uint64) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// varint decodes one number and returns it with its length, 0 when b is cut
// short or the number does not fit 64 bits.
func varint(b []byte) (n uint64, size int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i := 0; i < len(b) && i < 10; i++ {
		c := b[i]
		if i == 9 && c > 1 {
			return 0, 0
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

func sizeBytes(n int) int { return 1 + sizeVarint(uint64(n)) + n }

func appendBytes(b []byte, field byte, data []byte) []byte {
	b = append(b, field<<3|wireBytes)
	b = appendVarint(b, uint64(len(data)))
	return append(b, data...)
}

func appendNumber(b []byte, field byte, n uint64) []byte {
	b = append(b, field<<3|wireVarint)
	return appendVarint(b, n)
}

// fields reads a message field by field.
type fields struct {
	rest  []byte
	field uint64
	num   uint64 // value of a varint field
	data  []byte // content of a length-delimited field, nil for others
	err   error
}

// next moves to the next varint or length-delimited field and reports whether
// there is one. At the end or at malformed input it returns false; the latter
// sets err.
func (f *fields) next() bool {
	for len(f.rest) > 0 && f.err == nil {
		tag, n := varint(f.rest)
		if n == 0 {
			return f.fail("field tag")
		}
		f.rest, f.field = f.rest[n:], tag>>3
		switch tag & 7 {
		case wireVarint:
			if f.num, n = varint(f.rest); n == 0 {
				return f.fail("number")
			}
			f.rest, f.data = f.rest[n:], nil
			return true
		case wireBytes:
			size, n := varint(f.rest)
			if n == 0 || size > uint64(len(f.rest)-n) {
				return f.fail("length")
			}
			end := n + int(size)
			f.data, f.num = f.rest[n:end:end], 0
			f.rest = f.rest[end:]
			return true
		case wireFixed64, wireFixed32:
			size := 8
			if tag&7 == wireFixed32 {
				size = 4
			}
			if len(f.rest) < size {
				return f.fail("fixed number")
			}
			f.rest = f.rest[size:]
		default:
			return f.fail("wire type")
		}
	}
	return false
}

func (f *fields) fail(what string) bool {
	f.err = fmt.Errorf("%w: bad %s", ErrBadBlock, what)
	return false
}
