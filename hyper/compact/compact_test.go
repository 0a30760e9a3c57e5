package compact

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUintRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, MaxUint).Draw(t, "n")
		b := AppendUint(nil, n)
		r := NewReader(b)
		if got := r.Uint(); got != n || r.Len() != 0 || len(b) != SizeUint(n) {
			t.Fatalf("%d became %d in %d bytes, SizeUint says %d", n, got, len(b), SizeUint(n))
		}
		i := rapid.Int64Range(MinInt, -MinInt-1).Draw(t, "i")
		r = NewReader(AppendInt(nil, i))
		if got := r.Int(); got != i || r.Err() != nil {
			t.Fatalf("%d became %d: %v", i, got, r.Err())
		}
		for size := 1; size <= 8; size++ {
			want := n & (1<<(8*size) - 1)
			r = NewReader(AppendUintN(nil, n, size))
			if got := r.UintN(size); got != want {
				t.Fatalf("%d in %d bytes became %d", n, size, got)
			}
		}
	})
}

func TestUintSizesAtTheBorders(t *testing.T) {
	for _, n := range []uint64{0, 0xfc, 0xfd, 0xffff, 0x10000, 0xffffffff, 0x100000000, MaxUint} {
		if got := len(AppendUint(nil, n)); got != SizeUint(n) {
			t.Errorf("%d: %d bytes, SizeUint says %d", n, got, SizeUint(n))
		}
		if got, want := SizeBuffer(int(n&0xffff)), len(AppendBuffer(nil, make([]byte, n&0xffff))); got != want {
			t.Errorf("SizeBuffer(%d) = %d, want %d", n&0xffff, got, want)
		}
	}
}

func TestLexUintKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint32().Draw(t, "a"), rapid.Uint32().Draw(t, "b")
		ea, eb := AppendLexUint(nil, a), AppendLexUint(nil, b)
		if (a < b) != (bytes.Compare(ea, eb) < 0) {
			t.Fatalf("%d is %x, %d is %x", a, ea, b, eb)
		}
		r := NewReader(ea)
		if got := r.LexUint(); got != a || r.Err() != nil {
			t.Fatalf("%d became %d", a, got)
		}
	})
}

func TestLexUintRefusesLargeNumbers(t *testing.T) {
	for _, b := range [][]byte{{0xff, 1, 0, 0, 0, 0, 0, 0}, {0xfe, 0xff, 0xff, 0xff, 0xff}} {
		r := NewReader(b)
		if n := r.LexUint(); n != 0 || !errors.Is(r.Err(), ErrRange) {
			t.Errorf("%x: %d, %v", b, n, r.Err())
		}
	}
}

func TestBitArrayRoundTrip(t *testing.T) {
	for n := range 70 {
		bits := make([]bool, n)
		for i := range bits {
			bits[i] = i%3 == 0
		}
		r := NewReader(AppendBitArray(nil, bits))
		if got := r.BitArray(); !reflect.DeepEqual(got, bits) || r.Len() != 0 {
			t.Fatalf("%v became %v", bits, got)
		}
	}
}

func TestFlagsKeepTheirWidth(t *testing.T) {
	for _, c := range []struct {
		width int
		flags uint64
		want  string
	}{
		{3, 5, "\x05"},
		{7, 0x7f, "\x7f"},
		{8, 5, "\xfd\x05\x00"},
		{16, 0x8001, "\xfd\x01\x80"},
		{17, 1, "\xfe\x01\x00\x00\x00"},
		{33, 1, "\xff\x01\x00\x00\x00\x00\x00\x00\x00"},
		{64, math.MaxUint64, "\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		b := AppendFlags(nil, c.width, c.flags)
		if string(b) != c.want {
			t.Errorf("%d bits: %x", c.width, b)
		}
		r := NewReader(b)
		if got := r.Flags(c.width); got != c.flags || r.Err() != nil || r.Len() != 0 {
			t.Errorf("%d bits: %x, %v", c.width, got, r.Err())
		}
	}
	r := NewReader([]byte{0xfd, 0x05, 0xff})
	if got := r.Flags(8); got != 5 {
		t.Errorf("a field of 8 bits reads %x", got)
	}
	r = NewReader(nil)
	if r.Flags(3); !errors.Is(r.Err(), ErrOutOfBounds) {
		t.Errorf("%v", r.Err())
	}
}

func TestFrameOfEverySize(t *testing.T) {
	for _, n := range []int{0, 1, 252, 253, 65535, 65536} {
		body := bytes.Repeat([]byte{7}, n)
		b := AppendFrame([]byte("head"), func(b []byte) []byte { return append(b, body...) })
		if want := AppendBuffer([]byte("head"), body); !bytes.Equal(b, want) {
			t.Fatalf("%d bytes: frame differs from buffer", n)
		}
		r := NewReader(append(b[4:], 9))
		f := r.Frame()
		if f.Len() != n || r.Byte() != 9 || r.Err() != nil {
			t.Fatalf("%d bytes: frame of %d, %v", n, f.Len(), r.Err())
		}
	}
	r := NewReader([]byte{5, 1})
	if f := r.Frame(); !errors.Is(f.Err(), ErrOutOfBounds) || f.Byte() != 0 {
		t.Errorf("cut frame: %v", f.Err())
	}
}

func TestNDJSONEndsItsLine(t *testing.T) {
	b, err := AppendNDJSON(nil, map[string]string{"a": "<&>"})
	if err != nil || string(b[1:]) != `{"a":"<&>"}`+"\n" {
		t.Errorf("%q, %v", b, err)
	}
	r := NewReader(b)
	var v map[string]string
	if r.JSON(&v); r.Err() != nil || v["a"] != "<&>" {
		t.Errorf("%v, %v", v, r.Err())
	}
}

func TestJSONErrors(t *testing.T) {
	if b, err := AppendJSON([]byte{1}, func() {}); err == nil || len(b) != 1 {
		t.Errorf("%x, %v", b, err)
	}
	if b, err := AppendNDJSON([]byte{1}, func() {}); err == nil || len(b) != 1 {
		t.Errorf("%x, %v", b, err)
	}
	var v any
	r := NewReader(AppendString(nil, "{"))
	if r.JSON(&v); r.Err() == nil {
		t.Error("cut text accepted")
	}
	if r.JSON(&v); r.Err() == nil || v != nil {
		t.Error("read after an error")
	}
}

func TestAddressesThatDoNotFit(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:1.2.3.4")
	six := netip.MustParseAddr("2001:db8::1")
	for name, c := range map[string]struct{ got, want []byte }{
		"mapped as v4": {AppendIPv4(nil, mapped), []byte{1, 2, 3, 4}},
		"v6 as v4":     {AppendIPv4(nil, six), []byte{0, 0, 0, 0}},
		"none as v4":   {AppendIPv4(nil, netip.Addr{}), []byte{0, 0, 0, 0}},
		"none as v6":   {AppendIPv6(nil, netip.Addr{}), make([]byte, 16)},
		"none":         {AppendIP(nil, netip.Addr{}), []byte{4, 0, 0, 0, 0}},
		"v4 as v6":     {AppendIPv6(nil, mapped.Unmap()), mapped.AsSlice()},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("%s: %x", name, c.got)
		}
	}
	r := NewReader([]byte{5, 1, 2, 3, 4})
	if a := r.IP(); a.IsValid() || !errors.Is(r.Err(), ErrRange) {
		t.Errorf("family 5: %v, %v", a, r.Err())
	}
}

func TestErrorsStick(t *testing.T) {
	r := NewReader([]byte{1, 2, 3})
	first := errors.New("first")
	r.Fail(first)
	r.Fail(errors.New("second"))
	if r.Byte() != 0 || r.Uint() != 0 || r.UintN(2) != 0 || r.Uint16() != 0 || r.Uint32() != 0 || r.Uint64() != 0 ||
		r.Uint32BE() != 0 || r.Uint64BE() != 0 || r.Int() != 0 || r.LexUint() != 0 || r.Bool() || r.String() != "" ||
		r.Buffer() != nil || r.OptionalBuffer() != nil || r.Fixed(0) != nil || r.Raw() != nil || r.Count(0) != 0 ||
		r.BigUint() != nil || r.BitArray() != nil || r.Uint32Array() != nil || r.Any() != nil || r.StringRecord() != nil ||
		r.IPv4().IsValid() || r.IP().IsValid() || r.Fixed32() != [32]byte{} || r.Len() != 0 || r.Flags(8) != 0 {
		t.Error("something was read after an error")
	}
	if r.Err() != first {
		t.Errorf("%v", r.Err())
	}
}

func TestCountsAreBounded(t *testing.T) {
	huge := AppendUint(nil, MaxArray+1)
	many := AppendUint(nil, MaxArray)
	for name, read := range map[string]func(*Reader){
		"uint32 array":  func(r *Reader) { r.Uint32Array() },
		"big integer":   func(r *Reader) { r.BigUint() },
		"string record": func(r *Reader) { r.StringRecord() },
	} {
		r := NewReader(huge)
		if read(&r); !errors.Is(r.Err(), ErrRange) {
			t.Errorf("%s: %v", name, r.Err())
		}
		r = NewReader(many)
		if read(&r); !errors.Is(r.Err(), ErrOutOfBounds) {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
	r := NewReader(AppendUint(nil, 8*MaxArray+1))
	if r.BitArray(); !errors.Is(r.Err(), ErrRange) {
		t.Errorf("bits: %v", r.Err())
	}
	r = NewReader(many)
	if n := r.Count(0); n != MaxArray || r.Err() != nil {
		t.Errorf("elements without bytes: %d, %v", n, r.Err())
	}
}

func TestDateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(MinInt, -MinInt-1).Draw(t, "ms")
		want := time.UnixMilli(ms).UTC()
		r := NewReader(AppendDate(nil, want))
		if got := r.Date(); !got.Equal(want) || r.Err() != nil {
			t.Fatalf("%v became %v", want, got)
		}
	})
}

func BenchmarkAppendUint(b *testing.B) {
	buf := make([]byte, 0, 64)
	for i := range b.N {
		buf = AppendUint(buf[:0], uint64(i&0x1ff))
	}
}

func BenchmarkReadUintSmall(b *testing.B) {
	msg := bytes.Repeat([]byte{7}, 64)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		r := NewReader(msg)
		for range msg {
			r.Uint()
		}
	}
}

func BenchmarkReadUintLong(b *testing.B) {
	var msg []byte
	for i := range uint64(16) {
		msg = AppendUint(msg, 1000<<i)
	}
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		r := NewReader(msg)
		for r.Len() > 0 {
			r.Uint()
		}
	}
}

func BenchmarkReadBuffer(b *testing.B) {
	msg := AppendBuffer(nil, make([]byte, 4096))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(msg)
		if len(r.Buffer()) != 4096 {
			b.Fatal(r.Err())
		}
	}
}

func BenchmarkAppendBuffer(b *testing.B) {
	data, buf := make([]byte, 4096), make([]byte, 0, 8192)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendBuffer(buf[:0], data)
	}
}
