package hyperbee

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

type messageVector struct {
	Message struct {
		Cache *struct {
			Start, End uint64
			Blocks     []uint64
		}
		Get *struct {
			Version uint64
			Key     string
		}
		Iterator *struct {
			Version          uint64
			GTE, GT, LTE, LT *string
			Limit            uint64
			Reverse          bool
			Checkpoint       []uint64
		}
	}
	Encoded string
}

func (v *messageVector) message() (m message) {
	b := func(s *string) []byte {
		if s == nil {
			return nil
		}
		return []byte(*s)
	}
	if c := v.Message.Cache; c != nil {
		m.cache = &cacheMessage{c.Start, c.End, c.Blocks}
	}
	if g := v.Message.Get; g != nil {
		m.get = &getMessage{g.Version, []byte(g.Key)}
	}
	if i := v.Message.Iterator; i != nil {
		m.iterator = &iteratorMessage{i.Version, b(i.GTE), b(i.GT), b(i.LTE), b(i.LT), i.Limit, i.Reverse, i.Checkpoint}
		if len(i.Checkpoint) == 0 {
			m.iterator.checkpoint = nil
		}
	}
	return m
}

func messageVectors(t testing.TB) (out []messageVector) {
	raw, err := os.ReadFile("testdata/struct-bee-extension.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Messages []messageVector }
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v.Messages
}

func TestExtensionMessageVectors(t *testing.T) {
	for _, v := range messageVectors(t) {
		m := v.message()
		if got := hex.EncodeToString(m.append(nil)); got != v.Encoded {
			t.Errorf("encoded %s, want %s", got, v.Encoded)
		}
		raw, err := hex.DecodeString(v.Encoded)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeMessage(raw)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("decoded %+v %v, want %+v", got, err, m)
		}
		for n := range raw {
			// A cut message is refused or is a shorter one; it never panics.
			if m, err := decodeMessage(raw[:n]); err == nil && n > 0 && m == (message{}) {
				t.Errorf("%x decodes to nothing", raw[:n])
			}
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, v := range messageVectors(f) {
		raw, err := hex.DecodeString(v.Encoded)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		again, err := decodeMessage(m.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := again.append(nil), m.append(nil); string(got) != string(want) {
			t.Errorf("%x encodes to %x", want, got)
		}
	})
}
