package compact

import (
	"encoding/binary"
	"math"
)

// MaxUint is the largest integer the stack can carry: 2^53-1, the largest
// integer that a JavaScript number holds exactly.
const MaxUint = 1<<53 - 1

// MinInt is the smallest integer that the signed form can carry: ZigZag maps it
// to MaxUint.
const MinInt = -1 << 52

// MaxArray is the largest number of elements an array may have.
const MaxArray = 0x100000

// AppendUint appends n in the variable-length form: one byte up to 252, else a
// marker byte and 2, 4 or 8 bytes.
func AppendUint(b []byte, n uint64) []byte {
	switch {
	case n <= 0xfc:
		return append(b, byte(n))
	case n <= 0xffff:
		return append(b, 0xfd, byte(n), byte(n>>8))
	case n <= 0xffffffff:
		return append(b, 0xfe, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	default:
		return binary.LittleEndian.AppendUint64(append(b, 0xff), n)
	}
}

// SizeUint returns how many bytes AppendUint uses for n.
func SizeUint(n uint64) int {
	switch {
	case n <= 0xfc:
		return 1
	case n <= 0xffff:
		return 3
	case n <= 0xffffffff:
		return 5
	default:
		return 9
	}
}

// ZigZag maps a signed integer to an unsigned one with small absolute values
// staying small: 0, -1, 1, -2 become 0, 1, 2, 3.
func ZigZag(n int64) uint64 { return uint64(n<<1) ^ uint64(n>>63) }

// UnZigZag reverses [ZigZag].
func UnZigZag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// AppendInt appends a signed integer: ZigZag, then AppendUint.
func AppendInt(b []byte, n int64) []byte { return AppendUint(b, ZigZag(n)) }

// AppendUintN appends the low `size` bytes of n, little endian.
func AppendUintN(b []byte, n uint64, size int) []byte {
	for ; size > 0; size-- {
		b = append(b, byte(n))
		n >>= 8
	}
	return b
}

// AppendIntN appends a signed integer in `size` bytes: ZigZag, then AppendUintN.
func AppendIntN(b []byte, n int64, size int) []byte { return AppendUintN(b, ZigZag(n), size) }

// AppendUint32BE appends 4 bytes, big endian.
func AppendUint32BE(b []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(b, n) }

// AppendUint64BE appends 8 bytes, big endian.
func AppendUint64BE(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

// AppendUint16 appends 2 bytes, little endian.
func AppendUint16(b []byte, n uint16) []byte { return binary.LittleEndian.AppendUint16(b, n) }

// AppendUint32 appends 4 bytes, little endian.
func AppendUint32(b []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(b, n) }

// AppendUint64 appends 8 bytes, little endian.
func AppendUint64(b []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(b, n) }

// AppendBigUint appends a number of any size: a count of 64-bit limbs, then the
// limbs, least significant first. Zero is the count 0. Trailing zero limbs are
// not written.
func AppendBigUint(b []byte, limbs []uint64) []byte {
	for len(limbs) > 0 && limbs[len(limbs)-1] == 0 {
		limbs = limbs[:len(limbs)-1]
	}
	b = AppendUint(b, uint64(len(limbs)))
	for _, l := range limbs {
		b = AppendUint64(b, l)
	}
	return b
}

// AppendFloat32 appends an IEEE 754 single, little endian.
func AppendFloat32(b []byte, f float32) []byte { return AppendUint32(b, math.Float32bits(f)) }

// AppendFloat64 appends an IEEE 754 double, little endian.
func AppendFloat64(b []byte, f float64) []byte { return AppendUint64(b, math.Float64bits(f)) }

// AppendBuffer appends a length and the bytes. Nil and empty are the same: there
// is no null form.
func AppendBuffer(b, data []byte) []byte {
	return append(AppendUint(b, uint64(len(data))), data...)
}

// SizeBuffer returns how many bytes AppendBuffer uses for n bytes of data.
func SizeBuffer(n int) int { return SizeUint(uint64(n)) + n }

// AppendString appends a byte length and UTF-8 bytes.
func AppendString(b []byte, s string) []byte {
	return append(AppendUint(b, uint64(len(s))), s...)
}

// AppendBool appends one byte, 1 or 0.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendUint32Array appends an element count and the elements, little endian.
func AppendUint32Array(b []byte, words []uint32) []byte {
	b = AppendUint(b, uint64(len(words)))
	for _, w := range words {
		b = AppendUint32(b, w)
	}
	return b
}

// AppendBitArray appends a bit count and the bits, bit i in byte i/8 at 1<<(i%8).
func AppendBitArray(b []byte, bits []bool) []byte {
	b = AppendUint(b, uint64(len(bits)))
	var cur byte
	for i, v := range bits {
		if v {
			cur |= 1 << (i & 7)
		}
		if i&7 == 7 {
			b, cur = append(b, cur), 0
		}
	}
	if len(bits)&7 != 0 {
		b = append(b, cur)
	}
	return b
}

// AppendFrame appends the byte length of what enc appends, then those bytes.
func AppendFrame(b []byte, enc func([]byte) []byte) []byte {
	start := len(b)
	b = enc(append(b, 0))
	n := len(b) - start - 1
	if n <= 0xfc {
		b[start] = byte(n)
		return b
	}
	var head [9]byte
	h := AppendUint(head[:0], uint64(n))
	b = append(b, h[1:]...)
	copy(b[start+len(h):], b[start+1:start+1+n])
	copy(b[start:], h)
	return b
}

// AppendLexUint appends n in the order-preserving form: comparing encodings as
// bytes compares the numbers. It is exact up to 2^32-1; larger numbers have an
// inexact form in JavaScript that this package does not write.
func AppendLexUint(b []byte, n uint32) []byte {
	switch {
	case n < 251:
		return append(b, byte(n))
	case n < 256:
		return append(b, 0xfb, byte(n-251))
	case n < 1<<16:
		n -= 251
		return append(b, 0xfc, byte(n>>8), byte(n))
	case n < 1<<24:
		n -= 251
		return append(b, 0xfd, byte(n>>16), byte(n>>8), byte(n))
	default:
		n -= 251
		return append(b, 0xfe, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}
