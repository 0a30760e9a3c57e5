package keyenc

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrTuple is the error of a tuple that does not fit the index: too many parts,
// or one of another type or out of range.
var ErrTuple = errors.New("keyenc: tuple does not fit the index")

// ErrKey is the error of bytes that are no key of the index.
var ErrKey = errors.New("keyenc: not a key of the index")

// Type is the type of one part of a tuple.
type Type uint8

// Types of parts and the Go values they take. Whole numbers can be of any integer
// type; both number types also take math.Inf(1), Int takes math.Inf(-1).
const (
	Uint   Type = iota // integer from 0 to MaxUint
	Int                // integer from MinInt to MaxUint
	String             // string, or nil for the empty one
	Buffer             // []byte, or nil for the empty one
	Bool               // bool
	Date               // time.Time
)

// Index encodes tuples of fixed types.
type Index struct {
	types  []Type
	prefix []byte
	after  []byte // the prefix of the next index; nil if there is none
}

// NewIndex returns an index over tuples of the given types.
func NewIndex(types ...Type) *Index {
	return &Index{types: append([]Type(nil), types...)}
}

// NewPrefixedIndex is [NewIndex] with a number in front of all keys, for several
// indexes in one tree. id is below MaxUint.
func NewPrefixedIndex(id uint64, types ...Type) *Index {
	x := NewIndex(types...)
	x.prefix = AppendUint(nil, id)
	x.after = AppendUint(nil, id+1)
	return x
}

// Key returns the encoded tuple. A tuple with fewer parts than the index has gives
// a prefix of keys.
func (x *Index) Key(parts ...any) ([]byte, error) { return x.Append(nil, parts...) }

// Append appends what [Index.Key] returns.
func (x *Index) Append(b []byte, parts ...any) ([]byte, error) {
	if len(parts) > len(x.types) {
		return b, fmt.Errorf("%w: %d parts instead of %d", ErrTuple, len(parts), len(x.types))
	}
	out := append(b, x.prefix...)
	for i, part := range parts {
		var ok bool
		if out, ok = x.types[i].append(out, part); !ok {
			return b, fmt.Errorf("%w: part %d is %T(%v)", ErrTuple, i, part, part)
		}
	}
	return out, nil
}

func (t Type) append(b []byte, v any) ([]byte, bool) {
	switch t {
	case Uint:
		n, inf, ok := number(v)
		if inf != 0 {
			return AppendInfinity(b), inf > 0
		}
		return AppendUint(b, uint64(n)), ok && n >= 0
	case Int:
		n, inf, ok := number(v)
		switch {
		case inf > 0:
			return AppendInfinity(b), true
		case inf < 0:
			return AppendNegativeInfinity(b), true
		}
		return AppendInt(b, n), ok
	case Bool:
		v, ok := v.(bool)
		return AppendBool(b, v), ok
	case Date:
		v, ok := v.(time.Time)
		return AppendDate(b, v), ok && inRange(v.UnixMilli())
	case Buffer:
		data, ok := v.([]byte)
		return AppendString(b, data), ok || v == nil
	default:
		text, ok := v.(string)
		return AppendString(b, text), ok || v == nil
	}
}

func inRange(n int64) bool { return n >= MinInt && n <= MaxUint }

// number reads any integer type, and infinities as inf = 1 or -1.
func number(v any) (n int64, inf int, ok bool) {
	switch v := v.(type) {
	case int:
		n = int64(v)
	case int8:
		n = int64(v)
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint:
		n = int64(min(uint64(v), math.MaxInt64))
	case uint8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case uint64:
		n = int64(min(v, math.MaxInt64))
	case float64:
		switch {
		case math.IsInf(v, 1):
			return 0, 1, true
		case math.IsInf(v, -1):
			return 0, -1, true
		}
		return 0, 0, false
	default:
		return 0, 0, false
	}
	return n, 0, inRange(n)
}

// TupleRange bounds the tuples of a scan. Nil is no bound. A bound with fewer
// parts than the index has stands for all tuples that begin with it: GT skips
// them, LTE includes them.
type TupleRange struct {
	GT, GTE []any
	LT, LTE []any
}

// Range encodes bounds. A missing bound becomes the edge of a prefixed index.
func (x *Index) Range(r TupleRange) (Range, error) {
	var out Range
	var err error
	encode := func(parts []any, above bool) []byte {
		if parts == nil || err != nil {
			return nil
		}
		var key []byte
		key, err = x.Key(parts...)
		if above && len(parts) < len(x.types) {
			key = append(key, posInf)
		}
		return key
	}
	if out.GT = encode(r.GT, true); out.GT == nil {
		out.GTE = encode(r.GTE, false)
	}
	if out.LT = encode(r.LT, false); out.LT == nil {
		out.LTE = encode(r.LTE, true)
	}
	if err != nil {
		return Range{}, err
	}
	if out.GT == nil && out.GTE == nil {
		out.GTE = x.prefix
	}
	if out.LT == nil && out.LTE == nil {
		out.LT = x.after
	}
	return out, nil
}
