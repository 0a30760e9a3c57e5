package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Errors of a [Reader]. Both mean that the bytes are not a valid message.
var (
	// ErrOutOfBounds: the message ends before the field does.
	ErrOutOfBounds = errors.New("compact: out of bounds")
	// ErrRange: an integer above MaxUint or an array above MaxArray.
	ErrRange = errors.New("compact: value out of range")
)

// A Reader decodes fields from a byte slice, front to back. After the first
// error every read returns a zero value and Err reports that error.
//
// The zero value reads from nothing. Slices returned by Buffer, Fixed and Raw
// point into the input.
type Reader struct {
	b   []byte
	off int // len(b) after an error, so that reading a byte need not look at err
	err error
}

// NewReader returns a Reader over b, which must not change while it is in use.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail records err unless there already is an error.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
		r.off = len(r.b)
	}
}

// Len returns the number of unread bytes; 0 after an error.
func (r *Reader) Len() int { return len(r.b) - r.off }

// Offset returns the number of bytes read so far. It has no meaning after an
// error.
func (r *Reader) Offset() int { return r.off }

func (r *Reader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)-r.off) {
		r.Fail(ErrOutOfBounds)
		return nil
	}
	p := r.b[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return p
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if r.off >= len(r.b) {
		r.Fail(ErrOutOfBounds)
		return 0
	}
	c := r.b[r.off]
	r.off++
	return c
}

// Uint reads a variable-length integer. Longer forms than needed are accepted.
func (r *Reader) Uint() uint64 {
	switch c := r.Byte(); c {
	case 0xfd:
		return uint64(r.Uint16())
	case 0xfe:
		return uint64(r.Uint32())
	case 0xff:
		return r.safe(r.Uint64())
	default:
		return uint64(c)
	}
}

// UintN reads a little endian integer of 1 to 8 bytes. A value above MaxUint is
// an error.
func (r *Reader) UintN(size int) uint64 {
	p := r.take(uint64(size))
	var n uint64
	for i := len(p) - 1; i >= 0; i-- {
		n = n<<8 | uint64(p[i])
	}
	return r.safe(n)
}

// safe refuses integers that JavaScript cannot hold.
func (r *Reader) safe(n uint64) uint64 {
	if n > MaxUint {
		r.Fail(fmt.Errorf("%w: integer %d", ErrRange, n))
		return 0
	}
	return n
}

// Uint64 reads 8 bytes, little endian, of full range: for fields that are not
// JavaScript numbers, such as the limbs of a big integer.
func (r *Reader) Uint64() uint64 {
	p := r.take(8)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(p)
}

// Uint32 reads 4 bytes, little endian.
func (r *Reader) Uint32() uint32 {
	p := r.take(4)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(p)
}

// Uint16 reads 2 bytes, little endian.
func (r *Reader) Uint16() uint16 {
	p := r.take(2)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint16(p)
}

// Uint32BE reads 4 bytes, big endian.
func (r *Reader) Uint32BE() uint32 {
	p := r.take(4)
	if p == nil {
		return 0
	}
	return binary.BigEndian.Uint32(p)
}

// Uint64BE reads 8 bytes, big endian. A value above MaxUint is an error.
func (r *Reader) Uint64BE() uint64 {
	p := r.take(8)
	if p == nil {
		return 0
	}
	return r.safe(binary.BigEndian.Uint64(p))
}

// IntN reads a signed integer of 1 to 8 bytes.
func (r *Reader) IntN(size int) int64 { return UnZigZag(r.UintN(size)) }

// Int reads a signed variable-length integer.
func (r *Reader) Int() int64 { return UnZigZag(r.Uint()) }

// BigUint reads an integer of any size as 64-bit limbs, least significant first.
func (r *Reader) BigUint() []uint64 {
	n := r.Count(8)
	limbs := make([]uint64, 0, n)
	for range n {
		limbs = append(limbs, r.Uint64())
	}
	if r.err != nil {
		return nil
	}
	return limbs
}

// Float32 reads an IEEE 754 single.
func (r *Reader) Float32() float32 { return math.Float32frombits(r.Uint32()) }

// Float64 reads an IEEE 754 double.
func (r *Reader) Float64() float64 { return math.Float64frombits(r.Uint64()) }

// Buffer reads a length and that many bytes. The result is empty, not nil, for
// length 0; it is nil after an error.
func (r *Reader) Buffer() []byte {
	p := r.take(r.Uint())
	if r.err != nil {
		return nil
	}
	return p
}

// OptionalBuffer is Buffer with length 0 read as nil.
func (r *Reader) OptionalBuffer() []byte {
	if p := r.Buffer(); len(p) > 0 {
		return p
	}
	return nil
}

// String reads a byte length and that many bytes. They are not checked to be
// UTF-8: JavaScript would replace what is not.
func (r *Reader) String() string { return string(r.Buffer()) }

// Bool reads one byte: exactly 1 is true.
func (r *Reader) Bool() bool { return r.Byte() == 1 }

// Fixed reads n bytes.
func (r *Reader) Fixed(n int) []byte { return r.take(uint64(n)) }

// Fixed32 reads 32 bytes into an array.
func (r *Reader) Fixed32() (v [32]byte) {
	copy(v[:], r.take(32))
	return v
}

// Raw reads what is left.
func (r *Reader) Raw() []byte { return r.take(uint64(r.Len())) }

// Count reads the element count of an array whose elements take at least
// minSize bytes each (0 for elements that may be empty). A count above MaxArray
// or above what the remaining bytes can hold is an error, so the count may be
// used to allocate.
func (r *Reader) Count(minSize int) int {
	n := r.Uint()
	if n > MaxArray {
		r.Fail(fmt.Errorf("%w: array of %d elements", ErrRange, n))
		return 0
	}
	if minSize > 0 && n > uint64(r.Len()/minSize) {
		r.Fail(ErrOutOfBounds)
		return 0
	}
	return int(n)
}

// Uint32Array reads an element count and the elements. The decoder allocates
// only what is present.
func (r *Reader) Uint32Array() []uint32 {
	n := r.Count(4)
	p := r.take(uint64(n) * 4)
	if r.err != nil {
		return nil
	}
	words := make([]uint32, n)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
	return words
}

// BitArray reads a bit count and the bits.
func (r *Reader) BitArray() []bool {
	n := r.Uint()
	if n > MaxArray*8 {
		r.Fail(fmt.Errorf("%w: %d bits", ErrRange, n))
	}
	p := r.take((n + 7) / 8)
	if r.err != nil {
		return nil
	}
	bits := make([]bool, n)
	for i := range bits {
		bits[i] = p[i>>3]&(1<<(i&7)) != 0
	}
	return bits
}

// Frame reads a length and returns a Reader over exactly that many bytes. What
// the caller leaves unread in it is skipped, which is how messages grow. Its
// errors are its own: the caller checks both.
func (r *Reader) Frame() Reader {
	p := r.Buffer()
	return Reader{b: p, err: r.err}
}

// LexUint reads the order-preserving form of [AppendLexUint]. The inexact form
// of numbers from 2^32 on is an error.
func (r *Reader) LexUint() uint32 {
	c := r.Byte()
	size := 0
	switch {
	case c < 251:
		return uint32(c)
	case c == 0xff:
		r.Fail(fmt.Errorf("%w: lexicographic integer above 2^32", ErrRange))
		return 0
	default:
		size = int(c) - 250
	}
	var n uint64
	for _, x := range r.take(uint64(size)) {
		n = n<<8 | uint64(x)
	}
	n += 251
	if n > math.MaxUint32 {
		r.Fail(fmt.Errorf("%w: lexicographic integer above 2^32", ErrRange))
		return 0
	}
	return uint32(n)
}
