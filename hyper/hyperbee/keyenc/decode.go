package keyenc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Decode returns the tuple of a key: uint64, int64, string, []byte, bool and
// time.Time, or a float64 infinity. A prefix of a key gives fewer parts. Nothing
// in the result points into key.
func (x *Index) Decode(key []byte) ([]any, error) {
	rest, ok := bytes.CutPrefix(key, x.prefix)
	if !ok {
		return nil, fmt.Errorf("%w: it has another prefix", ErrKey)
	}
	parts := make([]any, 0, len(x.types))
	for i, t := range x.types {
		if len(rest) == 0 {
			return parts, nil
		}
		var part any
		if part, rest, ok = t.decode(rest); !ok {
			return nil, fmt.Errorf("%w: part %d is malformed", ErrKey, i)
		}
		parts = append(parts, part)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrKey, len(rest))
	}
	return parts, nil
}

// decode reads one part from b, which is not empty.
func (t Type) decode(b []byte) (v any, rest []byte, ok bool) {
	switch t {
	case Uint:
		return decodeUint(b)
	case Int:
		return decodeInt(b)
	case Bool:
		v, rest, ok := decodeUint(b)
		return v != uint64(0), rest, ok
	case Date:
		v, rest, ok := decodeInt(b)
		if ms, finite := v.(int64); ok && finite {
			return time.UnixMilli(ms).UTC(), rest, true
		}
		return v, rest, ok
	case Buffer:
		data, rest, ok := decodeBytes(b)
		return data, rest, ok
	default:
		data, rest, ok := decodeBytes(b)
		return string(data), rest, ok
	}
}

func decodeUint(b []byte) (v any, rest []byte, ok bool) {
	if b[0] <= maxOneByte {
		return uint64(b[0]), b[1:], true
	}
	return decodeLarge(b)
}

// decodeLarge reads the forms that both number types share.
func decodeLarge(b []byte) (v any, rest []byte, ok bool) {
	var n uint64
	switch head, b := b[0], b[1:]; {
	case head == posInf:
		return math.Inf(1), b, true
	case head == pos16 && len(b) >= 2:
		n, rest = uint64(binary.BigEndian.Uint16(b)), b[2:]
	case head == pos32 && len(b) >= 4:
		n, rest = uint64(binary.BigEndian.Uint32(b)), b[4:]
	case head == pos64 && len(b) >= 8:
		n, rest = binary.BigEndian.Uint64(b), b[8:]
	default:
		return nil, nil, false
	}
	return n, rest, n <= MaxUint
}

func decodeInt(b []byte) (v any, rest []byte, ok bool) {
	var n int64
	whole := b
	switch head, b := b[0], b[1:]; {
	case head == negInf:
		return math.Inf(-1), b, true
	case head == neg64 && len(b) >= 8:
		large := ^binary.BigEndian.Uint64(b)
		if large > MaxUint {
			return nil, nil, false
		}
		n, rest = -int64(large), b[8:]
	case head == neg32 && len(b) >= 4:
		n, rest = int64(binary.BigEndian.Uint32(b))-0xffffffff, b[4:]
	case head == neg16 && len(b) >= 2:
		n, rest = int64(binary.BigEndian.Uint16(b))-0xffff, b[2:]
	case head == neg8 && len(b) >= 1:
		n, rest = int64(b[0])-0xff, b[1:]
	case head >= intZero && head <= maxOneByte:
		n, rest = int64(head)-intZero, b
	case head > maxOneByte:
		v, rest, ok = decodeLarge(whole)
		if n, finite := v.(uint64); finite {
			v = int64(n)
		}
		return v, rest, ok
	default:
		return nil, nil, false
	}
	return n, rest, true
}

func decodeBytes(b []byte) (data, rest []byte, ok bool) {
	if b[0] != stringStart {
		return nil, nil, false
	}
	b, data = b[1:], []byte{}
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 == len(b) {
			return nil, nil, false
		}
		switch b[i+1] {
		case stringEnd:
			return append(data, b[:i]...), b[i+2:], true
		case stringEscape:
			data = append(data, b[:i+1]...)
			b = b[i+2:]
		default:
			return nil, nil, false
		}
	}
}
