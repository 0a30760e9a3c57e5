package keyenc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	raw, err := hex.DecodeString(*s)
	*h = raw
	return err
}

type rangeVector struct{ GT, GTE, LT, LTE hexBytes }

func (v rangeVector) Range() Range { return Range{GT: v.GT, GTE: v.GTE, LT: v.LT, LTE: v.LTE} }

func loadVectors(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestSubVectors(t *testing.T) {
	var v struct {
		Sub []struct {
			Name, Key                     string
			Encoded                       hexBytes
			Range, RangeGtLt, RangeGteLte rangeVector
		}
	}
	loadVectors(t, "struct-encodings.json", &v)
	subs := map[string]Sub{
		"new SubEncoder('files','utf-8')":               NewSub("files"),
		"new SubEncoder('a','utf-8').sub('b','utf-8')":  NewSub("a").Sub("b"),
		"new SubEncoder().sub('x','utf-8')":             Sub{}.Sub("x"),
		"new SubEncoder('a','utf-8').sub(null,'utf-8')": NewSub("a").Sub(""),
	}
	if len(v.Sub) != len(subs) {
		t.Fatalf("%d vectors", len(v.Sub))
	}
	for _, c := range v.Sub {
		s, ok := subs[c.Name]
		if !ok {
			t.Fatalf("%s: unknown", c.Name)
		}
		key := s.Key([]byte(c.Key))
		if !bytes.Equal(key, c.Encoded) {
			t.Errorf("%s: %x", c.Name, key)
		}
		if back, ok := s.Cut(key); !ok || string(back) != c.Key {
			t.Errorf("%s: %q, %v", c.Name, back, ok)
		}
		a, b := []byte("a"), []byte("b")
		for in, want := range map[*Range]rangeVector{
			{}:                             c.Range,
			{GT: a, LT: b}:                 c.RangeGtLt,
			{GTE: a, LTE: b}:               c.RangeGteLte,
			{GT: a, GTE: b, LT: b, LTE: a}: c.RangeGtLt,
		} {
			if got := s.Range(*in); !reflect.DeepEqual(got, want.Range()) {
				t.Errorf("%s: range %+v became %+v", c.Name, *in, got)
			}
		}
	}
}

func TestRootSubLeavesKeysAlone(t *testing.T) {
	var root Sub
	if got := root.Key([]byte("k")); string(got) != "k" {
		t.Errorf("%q", got)
	}
	if got := root.Range(Range{}); !reflect.DeepEqual(got, Range{}) {
		t.Errorf("%+v", got)
	}
	if _, ok := NewSub("a").Cut([]byte("b\x00k")); ok {
		t.Error("a key of another sub was accepted")
	}
}

func TestSubsDoNotShareMemory(t *testing.T) {
	parent := NewSub("a")
	b, c := parent.Sub("b"), parent.Sub("c")
	if string(b.Prefix()) != "a\x00b\x00" || string(c.Prefix()) != "a\x00c\x00" {
		t.Errorf("%q, %q", b.Prefix(), c.Prefix())
	}
}

func TestSubRangeHoldsExactlyItsKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-c]{0,2}`)
		s, o := NewSub(name.Draw(t, "sub")), NewSub(name.Draw(t, "other"))
		key := rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		r := s.Range(Range{})
		if !r.Contains(s.Key(key)) {
			t.Fatalf("%x is not in %+v", s.Key(key), r)
		}
		if k := o.Key(key); r.Contains(k) != bytes.HasPrefix(k, s.Prefix()) {
			t.Fatalf("%x of another sub in %+v", k, r)
		}
	})
}

type indexVector struct {
	Type    string
	Value   any
	Encoded hexBytes
}

var typeNames = map[string]Type{"UINT": Uint, "INT": Int, "STRING": String, "BUFFER": Buffer, "BOOL": Bool, "DATE": Date}

// part returns the Go value that the vector means, in the form Decode returns.
func (v indexVector) part(t *testing.T) any {
	t.Helper()
	switch text, _ := v.Value.(string); {
	case text == "Infinity":
		return math.Inf(1)
	case text == "-Infinity":
		return math.Inf(-1)
	case v.Type == "UINT":
		return uint64(v.Value.(float64))
	case v.Type == "INT":
		return int64(v.Value.(float64))
	case v.Type == "BUFFER":
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	case v.Type == "DATE":
		d, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return d.UTC()
	}
	return v.Value
}

func TestIndexPartVectors(t *testing.T) {
	var v struct{ Index []indexVector }
	loadVectors(t, "struct-encodings.json", &v)
	if len(v.Index) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Index {
		x := NewIndex(typeNames[c.Type])
		part := c.part(t)
		key, err := x.Key(part)
		if err != nil || !bytes.Equal(key, c.Encoded) {
			t.Errorf("%s %v: %x, %v, want %x", c.Type, c.Value, key, err, c.Encoded)
		}
		back, err := x.Decode(c.Encoded)
		if err != nil || len(back) != 1 || !reflect.DeepEqual(back[0], part) {
			t.Errorf("%s %x: %#v, %v, want %#v", c.Type, c.Encoded, back, err, part)
		}
		for n := 1; n < len(c.Encoded); n++ {
			if got, err := x.Decode(c.Encoded[:n]); !errors.Is(err, ErrKey) {
				t.Errorf("%s: %x decoded to %v", c.Type, c.Encoded[:n], got)
			}
		}
		if got, err := x.Decode(append(bytes.Clone(c.Encoded), 9)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: a byte too many decoded to %v", c.Type, got)
		}
	}
}

func TestIndexEncoderVectors(t *testing.T) {
	var v struct {
		IndexEncoder struct {
			Definition string
			Keys       [][2]json.RawMessage
			Ranges     [][2]json.RawMessage
		}
	}
	loadVectors(t, "struct-encodings.json", &v)
	if v.IndexEncoder.Definition != "IndexEncoder([STRING, UINT], {prefix: 5})" {
		t.Fatal(v.IndexEncoder.Definition)
	}
	x := NewPrefixedIndex(5, String, Uint)
	for _, c := range v.IndexEncoder.Keys {
		parts, want := tuple(t, c[0]), hexBytes{}
		if err := json.Unmarshal(c[1], &want); err != nil {
			t.Fatal(err)
		}
		key, err := x.Key(parts...)
		if err != nil || !bytes.Equal(key, want) {
			t.Errorf("%v: %x, %v", parts, key, err)
		}
		if back, err := x.Decode(key); err != nil || !reflect.DeepEqual(back, append([]any{}, parts...)) {
			t.Errorf("%v: %v, %v", parts, back, err)
		}
	}
	for _, c := range v.IndexEncoder.Ranges {
		var in struct{ GT, GTE, LT, LTE json.RawMessage }
		var want rangeVector
		if err := errors.Join(json.Unmarshal(c[0], &in), json.Unmarshal(c[1], &want)); err != nil {
			t.Fatal(err)
		}
		got, err := x.Range(TupleRange{tuple(t, in.GT), tuple(t, in.GTE), tuple(t, in.LT), tuple(t, in.LTE)})
		if err != nil || !reflect.DeepEqual(got, want.Range()) {
			t.Errorf("%s: %+v, %v, want %+v", c[0], got, err, want)
		}
	}
}

// tuple reads JSON with numbers as uint64; nil for nothing.
func tuple(t *testing.T, raw json.RawMessage) []any {
	t.Helper()
	if raw == nil {
		return nil
	}
	parts := []any{}
	if err := json.Unmarshal(raw, &parts); err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		if f, ok := parts[i].(float64); ok {
			parts[i] = uint64(f)
		}
	}
	return parts
}

func TestIndexKeepsTheOrderOfTuples(t *testing.T) {
	x := NewIndex(String, Int, Buffer, Uint)
	edges := []int64{MinInt, -0x100000000, -0xffffffff, -0x10000, -0xffff, -0x100, -0xff, -1, 0, 0xf6, 0xf7, 0xff, 0xffff, 0x10000, 0xffffffff, 0x100000000, MaxUint}
	draw := rapid.Custom(func(t *rapid.T) []any {
		n := rapid.SampledFrom(edges).Draw(t, "edge") + int64(rapid.IntRange(-2, 2).Draw(t, "delta"))
		return []any{
			rapid.StringMatching(`[\x00-\x02a]{0,3}`).Draw(t, "string"),
			min(max(n, MinInt), MaxUint),
			rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 3).Draw(t, "buffer"),
			rapid.SampledFrom([]uint64{0, 1, 0xfb, 0xfc, 0xffff, 0x10000, 0xffffffff, 0x100000000, MaxUint}).Draw(t, "uint"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		ka, errA := x.Key(a...)
		kb, errB := x.Key(b...)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got, want := bytes.Compare(ka, kb), compareTuples(a, b); got != want {
			t.Fatalf("%v and %v compare as %d, want %d", a, b, got, want)
		}
		back, err := x.Decode(ka)
		if err != nil || compareTuples(back, a) != 0 {
			t.Fatalf("%v became %v, %v", a, back, err)
		}
	})
}

func compareTuples(a, b []any) int {
	for i := range a {
		c := 0
		switch v := a[i].(type) {
		case string:
			c = bytes.Compare([]byte(v), []byte(b[i].(string)))
		case []byte:
			c = bytes.Compare(v, b[i].([]byte))
		case int64:
			c = compare(v, b[i].(int64))
		case uint64:
			c = compare(v, b[i].(uint64))
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func compare[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestIndexAcceptsEveryIntegerType(t *testing.T) {
	for _, typ := range []Type{Uint, Int} {
		x := NewIndex(typ)
		want, err := x.Key(7)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{int8(7), int16(7), int32(7), int64(7), uint(7), uint8(7), uint16(7), uint32(7), uint64(7)} {
			if got, err := x.Key(v); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%T: %x, %v", v, got, err)
			}
		}
	}
}

func TestIndexRefusesParts(t *testing.T) {
	for typ, values := range map[Type][]any{
		Uint:   {-1, uint64(MaxUint + 1), uint(math.MaxUint), math.Inf(-1), 1.5, "1", nil},
		Int:    {int64(MinInt - 1), uint64(math.MaxUint64), 1.5, nil},
		String: {[]byte("x"), 1},
		Buffer: {"x", 1},
		Bool:   {1, nil},
		Date:   {1, nil, time.UnixMilli(MaxUint + 1)},
	} {
		for _, v := range values {
			if b, err := NewIndex(typ).Append([]byte{1}, v); !errors.Is(err, ErrTuple) || !bytes.Equal(b, []byte{1}) {
				t.Errorf("type %d: %T(%v): %x, %v", typ, v, v, b, err)
			}
		}
	}
	x := NewIndex(Uint)
	if _, err := x.Key(1, 2); !errors.Is(err, ErrTuple) {
		t.Errorf("two parts: %v", err)
	}
	if r, err := x.Range(TupleRange{GT: []any{"x"}, LT: []any{1}}); !errors.Is(err, ErrTuple) || !reflect.DeepEqual(r, Range{}) {
		t.Errorf("range: %+v, %v", r, err)
	}
}

func TestIndexNilIsEmpty(t *testing.T) {
	for _, typ := range []Type{String, Buffer} {
		key, err := NewIndex(typ).Key(nil)
		if err != nil || !bytes.Equal(key, []byte{0, 0, 1}) {
			t.Errorf("%x, %v", key, err)
		}
	}
}

func TestIndexDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		index *Index
		key   []byte
	}{
		"prefix":             {NewPrefixedIndex(5, Uint), []byte{6, 1}},
		"large uint":         {NewIndex(Uint), []byte{pos64, 0, 0x20, 0, 0, 0, 0, 0, 0}},
		"large int":          {NewIndex(Int), []byte{pos64, 0, 0x20, 0, 0, 0, 0, 0, 0}},
		"small int":          {NewIndex(Int), []byte{neg64, 0, 0, 0, 0, 0, 0, 0, 0}},
		"string start":       {NewIndex(String), []byte{1, 0, 1}},
		"string escape":      {NewIndex(String), []byte{0, 0, 3}},
		"string without end": {NewIndex(Buffer), []byte{0, 'a'}},
	} {
		if got, err := c.index.Decode(c.key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDateInfinity(t *testing.T) {
	got, err := NewIndex(Date).Decode([]byte{posInf})
	if err != nil || got[0] != math.Inf(1) {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzIndexDecode(f *testing.F) {
	var v struct{ Index []indexVector }
	loadVectors(f, "struct-encodings.json", &v)
	for _, c := range v.Index {
		f.Add([]byte(c.Encoded))
	}
	indexes := []*Index{NewIndex(Uint), NewIndex(Int), NewIndex(String), NewIndex(Buffer), NewIndex(Bool), NewIndex(Date), NewPrefixedIndex(1, String, Int)}
	f.Fuzz(func(t *testing.T, key []byte) {
		for _, x := range indexes {
			parts, err := x.Decode(key)
			if err != nil {
				if !errors.Is(err, ErrKey) {
					t.Fatal(err)
				}
				continue
			}
			enc, err := x.Key(parts...)
			if err != nil {
				continue // an infinite date, or one out of range
			}
			if again, err := x.Decode(enc); err != nil || !reflect.DeepEqual(again, parts) {
				t.Fatalf("%x: %v became %v, %v", key, parts, again, err)
			}
		}
	})
}

func BenchmarkIndexAppend(b *testing.B) {
	x := NewPrefixedIndex(3, String, Uint)
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Append(buf, "some name", uint64(1234)); err != nil {
			b.Fatal(err)
		}
	}
}
