package compact

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

func FuzzReader(f *testing.F) {
	text, err := os.ReadFile("testdata/hypercore-encoding.json")
	if err != nil {
		f.Fatal(err)
	}
	var v struct{ Encode, Decode []vector }
	if err := json.Unmarshal(text, &v); err != nil {
		f.Fatal(err)
	}
	for _, c := range append(v.Encode, v.Decode...) {
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, c := range codecs {
			r := NewReader(b)
			got := c.dec(&r)
			if r.Err() == nil && (r.Offset() > len(b) || r.Offset()+r.Len() != len(b)) {
				t.Fatalf("%s: read %d of %d bytes, %d left", name, r.Offset(), len(b), r.Len())
			}
			if r.Err() == nil && name == "any" {
				checkAnySurvives(t, got)
			}
		}
	})
}

// checkAnySurvives encodes a decoded value again. Names may differ from what was
// read only in what the decoder dropped, so the second encoding is the judge.
func checkAnySurvives(t *testing.T, v any) {
	t.Helper()
	enc, err := AppendAny(nil, v)
	if err != nil {
		return // a float64 that is an integer beyond MaxUint
	}
	r := NewReader(enc)
	again, err := AppendAny(nil, r.Any())
	if err != nil || r.Err() != nil || !bytes.Equal(again, enc) {
		t.Fatalf("%#v: %x became %x, %v, %v", v, enc, again, r.Err(), err)
	}
}
