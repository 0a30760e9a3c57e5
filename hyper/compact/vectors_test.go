package compact

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

type vector struct {
	Type     string
	Value    json.RawMessage
	Hex      string
	Error    string
	Consumed int
}

// codec connects the name of an encoding in the vectors with this package. parse
// turns the JSON value into the Go value, enc and dec are the functions under test.
type codec struct {
	parse func(json.RawMessage) (any, error)
	enc   func(b []byte, v any) ([]byte, error)
	dec   func(r *Reader) any
}

// typed makes a codec for values of one Go type that JSON holds directly.
func typed[T any](enc func([]byte, T) []byte, dec func(*Reader) T) codec {
	return parsed(func(raw json.RawMessage) (v T, err error) { return v, json.Unmarshal(raw, &v) }, enc, dec)
}

func parsed[T any](parse func(json.RawMessage) (T, error), enc func([]byte, T) []byte, dec func(*Reader) T) codec {
	return codec{
		parse: func(raw json.RawMessage) (any, error) { return parse(raw) },
		enc:   func(b []byte, v any) ([]byte, error) { return enc(b, v.(T)), nil },
		dec:   func(r *Reader) any { return dec(r) },
	}
}

func uintN(size int) codec {
	return typed(func(b []byte, n uint64) []byte { return AppendUintN(b, n, size) }, func(r *Reader) uint64 { return r.UintN(size) })
}

func intN(size int) codec {
	return typed(func(b []byte, n int64) []byte { return AppendIntN(b, n, size) }, func(r *Reader) int64 { return r.IntN(size) })
}

func parseHex(raw json.RawMessage) ([]byte, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return nil, err
	}
	return hex.DecodeString(*s)
}

func raw(enc func([]byte, []byte) []byte, dec func(*Reader) []byte) codec {
	return parsed(parseHex, enc, dec)
}

func fixed(n int) codec {
	return raw(func(b, v []byte) []byte { return append(b, v...) }, func(r *Reader) []byte { return r.Fixed(n) })
}

func parseAddr(raw json.RawMessage) (netip.Addr, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(s)
}

func parseAddrPort(raw json.RawMessage) (netip.AddrPort, error) {
	var v struct {
		Host string
		Port uint16
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return netip.AddrPort{}, err
	}
	a, err := netip.ParseAddr(v.Host)
	return netip.AddrPortFrom(a, v.Port), err
}

func parseBig(raw json.RawMessage) (*big.Int, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, fmt.Errorf("number %q", s)
	}
	return n, nil
}

func parseLimbs(raw json.RawMessage) (limbs []uint64, err error) {
	n, err := parseBig(raw)
	if err != nil {
		return nil, err
	}
	for ; n.Sign() > 0; n.Rsh(n, 64) {
		limbs = append(limbs, new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0))).Uint64())
	}
	return limbs, nil
}

func array[T any](enc func([]byte, T) []byte, dec func(*Reader) T) codec {
	return typed(func(b []byte, list []T) []byte {
		b = AppendUint(b, uint64(len(list)))
		for _, v := range list {
			b = enc(b, v)
		}
		return b
	}, func(r *Reader) []T {
		list := make([]T, r.Count(1))
		for i := range list {
			list[i] = dec(r)
		}
		return list
	})
}

// parseAny reads JSON in the order in which it is written, with {"$buffer": hex}
// and {"$date": ms} for what JSON does not have.
func parseAny(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return parseAnyToken(d)
}

func parseAnyToken(d *json.Decoder) (any, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Number:
		if n, err := tok.Int64(); err == nil {
			if n >= 0 {
				return uint64(n), nil
			}
			return n, nil
		}
		return tok.Float64()
	case json.Delim:
		if tok == '[' {
			list := []any{}
			for d.More() {
				v, err := parseAnyToken(d)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err := d.Token()
			return list, err
		}
		o := Object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseAnyToken(d)
			if err != nil {
				return nil, err
			}
			o = append(o, Member{name.(string), v})
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
		if s, ok := o.Get("$buffer").(string); ok {
			return hex.DecodeString(s)
		}
		if ms, ok := o.Get("$date").(uint64); ok {
			return time.UnixMilli(int64(ms)).UTC(), nil
		}
		return o, nil
	default:
		return tok, nil
	}
}

var codecs = map[string]codec{
	"uint": typed(AppendUint, (*Reader).Uint), "int": typed(AppendInt, (*Reader).Int),
	"uint8": uintN(1), "uint16": uintN(2), "uint24": uintN(3), "uint32": uintN(4),
	"uint40": uintN(5), "uint48": uintN(6), "uint56": uintN(7), "uint64": uintN(8),
	"int8": intN(1), "int16": intN(2), "int24": intN(3), "int32": intN(4), "int64": intN(8),
	"uint32be": typed(AppendUint32BE, (*Reader).Uint32BE), "uint64be": typed(AppendUint64BE, (*Reader).Uint64BE),
	"float32": typed(AppendFloat32, (*Reader).Float32), "float64": typed(AppendFloat64, (*Reader).Float64),
	"lexint": typed(AppendLexUint, (*Reader).LexUint),
	"string": typed(AppendString, (*Reader).String), "bool": typed(AppendBool, (*Reader).Bool),
	"buffer": raw(AppendBuffer, (*Reader).Buffer), "optionalBuffer": raw(AppendBuffer, (*Reader).OptionalBuffer),
	"raw":     raw(func(b, v []byte) []byte { return append(b, v...) }, (*Reader).Raw),
	"fixed32": fixed(32), "fixed64": fixed(64),
	"array(uint)": array(AppendUint, (*Reader).Uint), "array(string)": array(AppendString, (*Reader).String),
	"frame(string)": typed(func(b []byte, s string) []byte {
		return AppendFrame(b, func(b []byte) []byte { return AppendString(b, s) })
	}, func(r *Reader) string { f := r.Frame(); return f.String() }),
	"uint32array": typed(AppendUint32Array, (*Reader).Uint32Array),
	"bitarray":    typed(AppendBitArray, (*Reader).BitArray),
	"date": parsed(func(raw json.RawMessage) (time.Time, error) {
		var ms int64
		err := json.Unmarshal(raw, &ms)
		return time.UnixMilli(ms).UTC(), err
	}, AppendDate, (*Reader).Date),
	"ipv4": parsed(parseAddr, AppendIPv4, (*Reader).IPv4), "ipv6": parsed(parseAddr, AppendIPv6, (*Reader).IPv6),
	"ip":          parsed(parseAddr, AppendIP, (*Reader).IP),
	"ipv4Address": parsed(parseAddrPort, AppendIPv4Address, (*Reader).IPv4Address),
	"ipv6Address": parsed(parseAddrPort, AppendIPv6Address, (*Reader).IPv6Address),
	"ipAddress":   parsed(parseAddrPort, AppendIPAddress, (*Reader).IPAddress),
	"stringRecord": parsed(func(raw json.RawMessage) (pairs []Pair, err error) {
		v, err := parseAny(raw)
		for _, m := range v.(Object) {
			pairs = append(pairs, Pair{m.Name, m.Value.(string)})
		}
		return pairs, err
	}, AppendStringRecord, (*Reader).StringRecord),
	"biguint64": parsed(func(raw json.RawMessage) (uint64, error) { n, err := parseBig(raw); return n.Uint64(), err }, AppendUint64, (*Reader).Uint64),
	"bigint64": parsed(func(raw json.RawMessage) (int64, error) { n, err := parseBig(raw); return n.Int64(), err },
		func(b []byte, n int64) []byte { return AppendUint64(b, ZigZag(n)) }, func(r *Reader) int64 { return UnZigZag(r.Uint64()) }),
	"biguint": parsed(parseLimbs, AppendBigUint, (*Reader).BigUint),
	"any":     {parse: parseAny, enc: AppendAny, dec: (*Reader).Any},
	"json": {
		parse: func(raw json.RawMessage) (any, error) { return raw, nil },
		enc:   AppendJSON,
		dec:   func(r *Reader) any { var v json.RawMessage; r.JSON(&v); return v },
	},
	"none": {
		parse: func(json.RawMessage) (any, error) { return nil, nil },
		enc:   func(b []byte, _ any) ([]byte, error) { return b, nil },
		dec:   func(*Reader) any { return nil },
	},
}

func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/hypercore-encoding.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Encode, Decode []vector }
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Encode) == 0 || len(v.Decode) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Encode {
		checkEncode(t, c)
	}
	for _, c := range v.Decode {
		checkDecode(t, c)
	}
}

func checkEncode(t *testing.T, c vector) {
	t.Helper()
	name := fmt.Sprintf("%s %.60s", c.Type, c.Value)
	cd, ok := codecs[c.Type]
	if !ok {
		t.Fatalf("%s: no such encoding", name)
	}
	if c.Error != "" {
		// Encoders of integers cannot fail: the limit is in their contract. The
		// form that carries any value checks it.
		if _, err := AppendAny(nil, outOfRange(t, c)); !errors.Is(err, ErrAny) {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	value, err := cd.parse(c.Value)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	got, err := cd.enc([]byte("x"), value)
	if err != nil || hex.EncodeToString(got[1:]) != c.Hex || got[0] != 'x' {
		t.Errorf("%s: encoded %x, %v, want %s", name, got, err, c.Hex)
	}
	enc, err := hex.DecodeString(c.Hex)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(enc)
	back := cd.dec(&r)
	if r.Err() != nil || r.Len() != 0 {
		t.Errorf("%s: %v, %d bytes left", name, r.Err(), r.Len())
	}
	if c.Type == "optionalBuffer" && string(c.Value) == `""` {
		value = []byte(nil) // empty reads as absent
	}
	if !reflect.DeepEqual(back, value) && !(c.Type == "uint32array" && len(enc) == 1) {
		t.Errorf("%s: decoded %#v, want %#v", name, back, value)
	}
	for n := range enc {
		if c.Type == "raw" {
			break // every prefix is one
		}
		short := NewReader(enc[:n])
		if cd.dec(&short); !errors.Is(short.Err(), ErrOutOfBounds) && c.Type != "frame(string)" {
			t.Errorf("%s: %d of %d bytes: %v", name, n, len(enc), short.Err())
		}
	}
}

// outOfRange returns the integer of a vector that must not be encoded.
func outOfRange(t *testing.T, c vector) any {
	t.Helper()
	var n int64
	if err := json.Unmarshal(c.Value, &n); err != nil {
		t.Fatal(err)
	}
	if c.Type == "uint" { // a negative one: the largest Go uint stands for it
		return uint64(n)
	}
	return -n - 1 // 2^52 is too large for the signed form, so is its mirror image
}

func checkDecode(t *testing.T, c vector) {
	t.Helper()
	name := c.Type + " " + c.Hex
	b, err := hex.DecodeString(c.Hex)
	if err != nil {
		t.Fatal(err)
	}
	cd, ok := codecs[c.Type]
	if !ok {
		t.Fatalf("%s: no such encoding", name)
	}
	r := NewReader(append(b, "more"...))
	if strings.HasPrefix(c.Error, "Out of bounds") {
		r = NewReader(b)
	}
	got := cd.dec(&r)
	if c.Error != "" {
		if !errors.Is(r.Err(), ErrOutOfBounds) && !errors.Is(r.Err(), ErrRange) {
			t.Errorf("%s: %v, %v", name, got, r.Err())
		}
		return
	}
	want, err := cd.parse(c.Value)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if r.Err() != nil || r.Offset() != c.Consumed || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %#v after %d bytes, %v, want %#v after %d", name, got, r.Offset(), r.Err(), want, c.Consumed)
	}
}
