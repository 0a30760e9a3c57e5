package wire

import (
	"bytes"
	"testing"
)

// fuzz feeds mutations of the vectors of one type to its decoder: whatever
// decodes must come out the same after encoding and decoding it again.
func fuzz(f *testing.F, typ string) {
	var v wireVectors
	loadVectors(f, "hypercore-wire.json", &v)
	for _, c := range append(v.Messages, v.DecodeOnly...) {
		if c.Type == typ {
			f.Add([]byte(c.Hex))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		m, err := decode(typ, body)
		if !bytes.Equal(before, body) {
			t.Fatal("decoding changed the input")
		}
		if err != nil {
			return
		}
		canonical := encode(t, m)
		again, err := decode(typ, canonical)
		if err != nil {
			t.Fatalf("%+v does not decode again: %v", m, err)
		}
		if second := encode(t, again); !bytes.Equal(second, canonical) {
			t.Fatalf("encoded as %x, then as %x", canonical, second)
		}
	})
}

func FuzzHandshake(f *testing.F) { fuzz(f, "handshake") }
func FuzzSync(f *testing.F)      { fuzz(f, "sync") }
func FuzzRequest(f *testing.F)   { fuzz(f, "request") }
func FuzzCancel(f *testing.F)    { fuzz(f, "cancel") }
func FuzzData(f *testing.F)      { fuzz(f, "data") }
func FuzzNoData(f *testing.F)    { fuzz(f, "noData") }
func FuzzWant(f *testing.F)      { fuzz(f, "want") }
func FuzzBitfield(f *testing.F)  { fuzz(f, "bitfield") }
func FuzzRange(f *testing.F)     { fuzz(f, "range") }
func FuzzExtension(f *testing.F) { fuzz(f, "extension") }
