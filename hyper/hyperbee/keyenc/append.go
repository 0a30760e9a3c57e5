package keyenc

import (
	"encoding/binary"
	"time"
)

// Largest and smallest integers that a key can hold exactly.
const (
	MaxUint = 1<<53 - 1
	MinInt  = -MaxUint
)

// First bytes of encoded numbers. What is not listed is a number of one byte.
const (
	negInf     = 0x00
	neg64      = 0x01
	neg32      = 0x02
	neg16      = 0x03
	neg8       = 0x04
	intZero    = 0x05 // only for signed numbers: 0 is 5, 1 is 6
	maxOneByte = 0xfb
	pos16      = 0xfc
	pos32      = 0xfd
	pos64      = 0xfe
	posInf     = 0xff
)

// Bytes that follow a zero byte inside a string.
const (
	stringStart  = 0x00
	stringEnd    = 0x01
	stringEscape = 0x02
)

// AppendUint appends an unsigned integer of at most MaxUint.
func AppendUint(b []byte, n uint64) []byte {
	if n <= maxOneByte {
		return append(b, byte(n))
	}
	return appendLarge(b, n)
}

// AppendInt appends a signed integer between MinInt and MaxUint. Its order is not
// comparable with that of AppendUint.
func AppendInt(b []byte, n int64) []byte {
	switch {
	case n < -0xffffffff:
		return binary.BigEndian.AppendUint64(append(b, neg64), ^uint64(-n))
	case n < -0xffff:
		return binary.BigEndian.AppendUint32(append(b, neg32), uint32(n+0xffffffff))
	case n < -0xff:
		return binary.BigEndian.AppendUint16(append(b, neg16), uint16(n+0xffff))
	case n < 0:
		return append(b, neg8, byte(n+0xff))
	case n <= maxOneByte-intZero:
		return append(b, byte(n)+intZero)
	default:
		return appendLarge(b, uint64(n))
	}
}

func appendLarge(b []byte, n uint64) []byte {
	switch {
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, pos16), uint16(n))
	case n <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(b, pos32), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, pos64), n)
	}
}

// AppendInfinity appends what sorts after every number.
func AppendInfinity(b []byte) []byte { return append(b, posInf) }

// AppendNegativeInfinity appends what sorts before every signed number.
func AppendNegativeInfinity(b []byte) []byte { return append(b, negInf) }

// AppendString appends text, or bytes: zero bytes inside are escaped and the end
// is marked, so that no string is a prefix of another.
func AppendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, stringStart)
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, stringEscape)
		}
	}
	return append(b, 0, stringEnd)
}

// AppendBool appends false or true, in this order.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendDate appends a time in milliseconds.
func AppendDate(b []byte, t time.Time) []byte { return AppendInt(b, t.UnixMilli()) }
