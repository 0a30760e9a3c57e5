package content

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func part(log byte, block, blocks, off, n uint64) Part {
	return Part{Log: hypercrypto.Key{log}, Blob: hyperblobs.ID{BlockOffset: block, BlockLength: blocks, ByteOffset: off, ByteLength: n}}
}

// The encoded form is a format: these bytes may never change.
func TestEncodedForm(t *testing.T) {
	key := func(b string) string { return b + "00000000000000000000000000000000000000000000000000000000000000" }
	for _, c := range []struct {
		ref Ref
		hex string
	}{
		{Ref{}, "01" + "00" + "00"},
		{Ref{Size: 5, Parts: []Part{part(7, 300, 1, 70000, 5)}}, "01" + "01" + key("07") + "01" + "01050" + "1d804e0c508"},
		{Ref{Size: 1_000_130, Parts: []Part{part(7, 0, 9, 0, 1_000_000), zeros(100), part(8, 2, 1, 3, 20), part(7, 10, 1, 1_000_050, 10)}},
			"01" + "02" + key("07") + key("08") + "04" + "01c0843d090000" + "0064" + "0214010406" + "010a010264"},
		{Ref{Size: 1 << 40, Table: &Part{Log: hypercrypto.Key{9}, Blob: hyperblobs.ID{BlockOffset: 1, BlockLength: 2, ByteOffset: 3, ByteLength: 70000}}},
			"02" + "808080808020" + "01" + key("09") + "01" + "01f0a204020206"},
	} {
		b := c.ref.Encode()
		if got := hex.EncodeToString(b); got != c.hex {
			t.Errorf("encoded %s, want %s", got, c.hex)
		}
		back, err := Decode(c.ref.Hash, b)
		if err != nil || !same(back, c.ref) {
			t.Errorf("decoded %+v, %v, want %+v", back, err, c.ref)
		}
	}
}

func same(a, b Ref) bool {
	if a.Size != b.Size || a.Hash != b.Hash || !slices.Equal(a.Parts, b.Parts) || (a.Table == nil) != (b.Table == nil) {
		return false
	}
	return a.Table == nil || *a.Table == *b.Table
}

func TestEncodedPartsComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var parts []Part
		for range rapid.IntRange(0, 50).Draw(rt, "parts") {
			n := rapid.Uint64Range(1, 1<<50).Draw(rt, "bytes")
			log := rapid.ByteRange(0, 9).Draw(rt, "log")
			if log == 0 {
				parts = append(parts, zeros(n))
				continue
			}
			parts = append(parts, part(log, rapid.Uint64Range(0, 1<<52).Draw(rt, "block"), rapid.Uint64Range(1, 1<<52).Draw(rt, "blocks"),
				rapid.Uint64Range(0, 1<<52).Draw(rt, "offset"), n))
		}
		back, err := decodeParts(appendParts(nil, parts))
		for _, p := range parts {
			if p.check() != nil {
				if !errors.Is(err, ErrInvalid) {
					rt.Fatalf("decodes %+v: %v", p, err)
				}
				return
			}
		}
		if err != nil || !slices.Equal(back, parts) {
			rt.Fatalf("%v, %v, want %v", back, err, parts)
		}
	})
}

func TestHostileReferencesAreRefused(t *testing.T) {
	table := func(p Part) *Part { return &p }
	for name, ref := range map[string]Ref{
		"size":             {Size: 6, Parts: []Part{part(1, 0, 1, 0, 5)}},
		"size of nothing":  {Size: 1},
		"huge size":        {Size: compact.MaxUint + 1, Parts: []Part{zeros(compact.MaxUint), zeros(1)}},
		"sum overflows":    {Size: 1, Parts: []Part{zeros(compact.MaxUint), zeros(compact.MaxUint)}},
		"no blocks":        {Size: 5, Parts: []Part{part(1, 0, 0, 0, 5)}},
		"empty blocks":     {Size: 5, Parts: []Part{part(1, 0, 6, 0, 5)}},
		"huge blocks":      {Size: 1 << 40, Parts: []Part{part(1, 0, 6, 0, 1<<40)}},
		"end of blocks":    {Size: 5, Parts: []Part{part(1, compact.MaxUint, 1, 0, 5)}},
		"end of bytes":     {Size: 5, Parts: []Part{part(1, 0, 1, compact.MaxUint, 5)}},
		"empty part":       {Parts: []Part{part(1, 0, 0, 0, 0)}},
		"empty zeros":      {Parts: []Part{zeros(0)}},
		"zeros in a log":   {Size: 5, Parts: []Part{part(0, 1, 1, 0, 5)}},
		"map":              {Size: 5, Parts: []Part{{Log: hypercrypto.Key{1}, Blob: hyperblobs.ID{BlockLength: 1, ByteLength: 5, BlockMap: true}}}},
		"parts and table":  {Size: 5, Parts: []Part{part(1, 0, 1, 0, 5)}, Table: table(part(1, 0, 1, 0, 5))},
		"table of zeros":   {Size: 5, Table: table(zeros(5))},
		"huge table":       {Size: 5, Table: table(part(1, 0, 1, 0, maxTable+1))},
		"too many parts":   {Size: MaxParts + 1, Parts: slices.Repeat([]Part{part(1, 0, 1, 0, 1)}, MaxParts+1)},
		"table beyond all": {Size: 5, Table: table(part(1, compact.MaxUint, 1, 0, 5))},
	} {
		if err := ref.Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"unknown form":   {3, 0, 0},
		"two tables":     appendParts([]byte{formTable, 9}, []Part{part(1, 0, 1, 0, 5), part(1, 1, 1, 5, 5)}),
		"too long":       append(Ref{}.Encode(), make([]byte, MaxEncoded)...),
		"rest":           append(Ref{}.Encode(), 0),
		"many logs":      {formInline, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"many parts":     {formInline, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"unknown log":    {formInline, 0, 1, 1, 1, 1, 0, 0},
		"huge sum":       Ref{Parts: []Part{zeros(compact.MaxUint), zeros(compact.MaxUint)}}.Encode(),
		"huge number":    Ref{Parts: []Part{zeros(1<<64 - 1), zeros(2)}}.Encode(),
		"endless number": append([]byte{formInline}, bytes.Repeat([]byte{0xff}, 20)...),
	} {
		if _, err := Decode(hypercrypto.Hash{}, b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Ref{}.Encode())
	f.Add(Ref{Parts: []Part{part(1, 5, 1, 100, 10), zeros(10), part(2, 9, 1, 3, 10)}}.Encode())
	t := part(3, 7, 1, 900, 600)
	f.Add(Ref{Size: 1 << 30, Table: &t}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		ref, err := Decode(hypercrypto.Hash{}, b)
		if err != nil {
			return
		}
		back, err := Decode(hypercrypto.Hash{}, ref.Encode())
		if err != nil || !same(back, ref) {
			t.Fatalf("%+v becomes %+v, %v", ref, back, err)
		}
	})
}

func FuzzDecodeParts(f *testing.F) {
	f.Add(appendParts(nil, nil))
	f.Add(appendParts(nil, []Part{part(1, 5, 1, 100, 10), zeros(10), part(2, 9, 1, 3, 10), part(1, 6, 2, 110, 20)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := decodeParts(b)
		if err != nil {
			return
		}
		for _, p := range parts {
			if !p.Zeros() && p.check() != nil {
				t.Fatalf("%+v is accepted", p)
			}
		}
		back, err := decodeParts(appendParts(nil, parts))
		if err != nil || !slices.Equal(back, parts) {
			t.Fatalf("%+v becomes %+v, %v", parts, back, err)
		}
	})
}
