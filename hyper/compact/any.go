package compact

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrAny is the error of a value that the self-describing form cannot hold.
var ErrAny = errors.New("compact: value has no self-describing form")

// Limits of the self-describing form. JavaScript has none; these keep a decoder
// from being led into deep recursion or large allocations.
const (
	// MaxAnyDepth is how deep arrays and objects may be nested.
	MaxAnyDepth = 64
	// MaxAnyValues is how many values one self-describing value may hold in all.
	MaxAnyValues = MaxArray
)

// Types of the self-describing form, written in front of each value.
const (
	anyNull = iota
	anyBool
	anyString
	anyBuffer
	anyUint
	anyInt
	anyFloat
	anyArray
	anyObject
	anyDate
)

// Object is a list of named values in the order in which they are written.
// JavaScript keeps that order except for names that are small integers.
type Object []Member

// Member is one named value of an [Object].
type Member struct {
	Name  string
	Value any
}

// Get returns the value with that name; nil if there is none.
func (o Object) Get(name string) any {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return nil
}

// AppendAny appends a value together with its type. It takes nil, bool, string,
// []byte, int, int64, uint64, float64, []any, [Object] and time.Time. A float64
// without a fraction is written as an integer, as JavaScript does, which has one
// type for both. The error is [ErrAny] for other types, for integers beyond what
// JavaScript can hold and beyond the limits of this form; b is then returned
// unchanged.
func AppendAny(b []byte, v any) ([]byte, error) {
	e := anyEncoder{left: MaxAnyValues}
	out := e.append(b, v, 0)
	if e.err != nil {
		return b, e.err
	}
	return out, nil
}

type anyEncoder struct {
	left int
	err  error
}

func (e *anyEncoder) append(b []byte, v any, depth int) []byte {
	if e.left--; e.left < 0 || depth > MaxAnyDepth {
		e.fail("too many or too deeply nested values")
	}
	if e.err != nil {
		return b
	}
	switch v := v.(type) {
	case nil:
		return append(b, anyNull)
	case bool:
		return AppendBool(append(b, anyBool), v)
	case string:
		return AppendString(append(b, anyString), v)
	case []byte:
		return AppendBuffer(append(b, anyBuffer), v)
	case int:
		return e.appendInt(b, int64(v))
	case int64:
		return e.appendInt(b, v)
	case uint64:
		if v > MaxUint {
			e.fail(fmt.Sprintf("integer %d", v))
		}
		return AppendUint(append(b, anyUint), v)
	case float64:
		return e.appendFloat(b, v)
	case time.Time:
		return AppendDate(append(b, anyDate), v)
	case []any:
		b = AppendUint(append(b, anyArray), uint64(len(v)))
		for i := range v {
			b = e.append(b, v[i], depth+1)
		}
		return b
	case Object:
		b = AppendUint(append(b, anyObject), uint64(len(v)))
		for i := range v {
			b = e.append(AppendString(b, v[i].Name), v[i].Value, depth+1)
		}
		return b
	}
	e.fail(fmt.Sprintf("type %T", v))
	return b
}

func (e *anyEncoder) appendInt(b []byte, n int64) []byte {
	switch {
	case n > MaxUint || n < MinInt:
		e.fail(fmt.Sprintf("integer %d", n))
		return b
	case n >= 0:
		return AppendUint(append(b, anyUint), uint64(n))
	default:
		return AppendInt(append(b, anyInt), n)
	}
}

func (e *anyEncoder) appendFloat(b []byte, f float64) []byte {
	switch {
	case f != math.Trunc(f) || math.IsInf(f, 0):
		return AppendFloat64(append(b, anyFloat), f)
	case f > MaxUint || f < MinInt:
		e.fail(fmt.Sprintf("integer %g", f))
		return b
	default:
		return e.appendInt(b, int64(f))
	}
}

func (e *anyEncoder) fail(what string) {
	if e.err == nil {
		e.err = fmt.Errorf("%w: %s", ErrAny, what)
	}
}

// Any reads a self-describing value: nil, bool, string, []byte, uint64, int64,
// float64, []any, [Object] or time.Time in UTC. A []byte points into the input.
// Unknown types and values beyond the limits of this form are errors.
func (r *Reader) Any() any {
	d := anyDecoder{r: r, left: MaxAnyValues}
	v := d.read(0)
	if r.err != nil {
		return nil
	}
	return v
}

type anyDecoder struct {
	r    *Reader
	left int
}

func (d *anyDecoder) read(depth int) any {
	r := d.r
	if d.left--; d.left < 0 || depth > MaxAnyDepth {
		r.Fail(fmt.Errorf("%w: too many or too deeply nested values", ErrRange))
	}
	switch typ := r.Uint(); typ {
	case anyNull:
		return nil
	case anyBool:
		return r.Bool()
	case anyString:
		return r.String()
	case anyBuffer:
		return r.Buffer()
	case anyUint:
		return r.Uint()
	case anyInt:
		return r.Int()
	case anyFloat:
		return r.Float64()
	case anyArray:
		return d.readArray(depth)
	case anyObject:
		return d.readObject(depth)
	case anyDate:
		return r.Date()
	default:
		r.Fail(fmt.Errorf("%w: type %d is unknown", ErrRange, typ))
		return nil
	}
}

// Counts are checked against the bytes that are left, but an element takes more
// memory than its shortest encoding, so little is allocated before the elements
// are there.
const anyPrealloc = 16

func (d *anyDecoder) readArray(depth int) []any {
	n := d.r.Count(1)
	v := make([]any, 0, min(n, anyPrealloc))
	for range n {
		v = append(v, d.read(depth+1))
		if d.r.err != nil {
			return nil
		}
	}
	return v
}

func (d *anyDecoder) readObject(depth int) Object {
	n := d.r.Count(2)
	v := make(Object, 0, min(n, anyPrealloc))
	for range n {
		name := d.r.String()
		v = append(v, Member{Name: name, Value: d.read(depth + 1)})
		if d.r.err != nil {
			return nil
		}
	}
	return v
}
