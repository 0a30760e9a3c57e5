package compact

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyValue generates values in the form in which [Reader.Any] returns them.
func anyValue(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.String().AsAny(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) []byte { return append([]byte{}, b...) }).AsAny(),
		rapid.Uint64Range(0, MaxUint).AsAny(),
		rapid.Int64Range(MinInt, -1).AsAny(),
		rapid.Map(rapid.Int64Range(-1<<30, 1<<30), func(n int64) float64 { return float64(n) + 0.5 }).AsAny(),
		rapid.Map(rapid.Int64Range(MinInt, -MinInt-1), func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }).AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := anyValue(depth - 1)
	member := rapid.Custom(func(t *rapid.T) Member {
		return Member{rapid.String().Draw(t, "name"), inner.Draw(t, "value")}
	})
	return rapid.OneOf(append(leaves,
		rapid.Map(rapid.SliceOfN(inner, 0, 20), func(v []any) []any { return append([]any{}, v...) }).AsAny(),
		rapid.Map(rapid.SliceOfN(member, 0, 4), func(v []Member) Object { return append(Object{}, v...) }).AsAny())...)
}

func TestAnyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue(3).Draw(t, "value")
		b, err := AppendAny(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(b)
		if got := r.Any(); !reflect.DeepEqual(got, v) || r.Err() != nil || r.Len() != 0 {
			t.Fatalf("%#v became %#v, %v", v, got, r.Err())
		}
	})
}

func TestAnyNumbersAsJavaScriptSeesThem(t *testing.T) {
	for _, c := range []struct {
		in   any
		want any
	}{
		{7, uint64(7)},
		{-7, int64(-7)},
		{int64(MinInt), int64(MinInt)},
		{uint64(MaxUint), uint64(MaxUint)},
		{3.0, uint64(3)},
		{-3.0, int64(-3)},
		{math.Copysign(0, -1), uint64(0)},
		{float64(MaxUint), uint64(MaxUint)},
		{0.5, 0.5},
		{math.Inf(1), math.Inf(1)},
		{math.Inf(-1), math.Inf(-1)},
	} {
		b, err := AppendAny(nil, c.in)
		if err != nil {
			t.Errorf("%v: %v", c.in, err)
			continue
		}
		r := NewReader(b)
		if got := r.Any(); got != c.want {
			t.Errorf("%v became %#v, want %#v", c.in, got, c.want)
		}
	}
	b, err := AppendAny(nil, math.NaN())
	if r := NewReader(b); err != nil || !math.IsNaN(r.Any().(float64)) {
		t.Errorf("NaN: %x, %v", b, err)
	}
}

func TestAnyRefusesWhatJavaScriptCannotHold(t *testing.T) {
	loop := []any{nil}
	loop[0] = loop
	for name, v := range map[string]any{
		"large uint":      uint64(MaxUint + 1),
		"large int":       int64(MaxUint + 1),
		"small int":       int64(MinInt - 1),
		"large float":     1e300,
		"small float":     -1e300,
		"type":            int8(1),
		"map":             map[string]any{},
		"endless nesting": loop,
		"many values":     make([]any, MaxAnyValues),
		"inside":          []any{Object{{"a", struct{}{}}}},
	} {
		b, err := AppendAny([]byte{9}, v)
		if !errors.Is(err, ErrAny) || !bytes.Equal(b, []byte{9}) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

func TestAnyDecoderIsBounded(t *testing.T) {
	deep := bytes.Repeat([]byte{anyArray, 1}, MaxAnyDepth+2)
	for name, b := range map[string][]byte{
		"deep":              append(deep, anyNull),
		"array too long":    AppendUint([]byte{anyArray}, MaxArray+1),
		"many values":       append(AppendUint([]byte{anyArray}, MaxArray), make([]byte, MaxArray)...),
		"unknown type":      {10},
		"unknown inside":    {anyObject, 1, 0, 10},
		"array not there":   {anyArray, 200, 1},
		"object not there":  {anyObject, 100, 0},
		"large type number": {0xfd, 0, 1},
	} {
		r := NewReader(b)
		if v := r.Any(); v != nil || r.Err() == nil {
			t.Errorf("%s: %v", name, v)
		}
	}
	ok := append(bytes.Repeat([]byte{anyArray, 1}, MaxAnyDepth), anyNull)
	if r := NewReader(ok); r.Any() == nil || r.Err() != nil {
		t.Errorf("%d levels refused: %v", MaxAnyDepth, r.Err())
	}
}

func TestObjectGet(t *testing.T) {
	o := Object{{"a", 1}, {"b", 2}}
	if o.Get("b") != 2 || o.Get("c") != nil {
		t.Errorf("%v, %v", o.Get("b"), o.Get("c"))
	}
}
