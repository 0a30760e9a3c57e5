package blindrelay

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type pairVector struct {
	Decoded struct {
		IsInitiator bool
		Token       string
		ID          uint32
		Seq         uint64
	}
	Encoded string
}

func loadVectors(t testing.TB) (pairs []pairVector, unpair pairVector) {
	t.Helper()
	b, err := os.ReadFile("testdata/net-relay.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		BlindRelay struct {
			Protocol                             string
			PairInitiator, PairResponder, Unpair pairVector
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if v.BlindRelay.Protocol != Protocol {
		t.Fatalf("the protocol is %q", v.BlindRelay.Protocol)
	}
	return []pairVector{v.BlindRelay.PairInitiator, v.BlindRelay.PairResponder}, v.BlindRelay.Unpair
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessageVectors(t *testing.T) {
	pairs, unpair := loadVectors(t)
	for _, v := range pairs {
		p, err := decodePair(unhex(t, v.Encoded))
		want := pair{v.Decoded.IsInitiator, Token(unhex(t, v.Decoded.Token)), v.Decoded.ID, v.Decoded.Seq}
		if err != nil || p != want {
			t.Errorf("decoded %+v, %v", p, err)
		}
		if got := hex.EncodeToString(want.appendTo(nil)); got != v.Encoded {
			t.Errorf("encoded %s, want %s", got, v.Encoded)
		}
	}
	token, err := decodeUnpair(unhex(t, unpair.Encoded))
	if err != nil || token != Token(unhex(t, unpair.Decoded.Token)) {
		t.Errorf("unpair: %x, %v", token, err)
	}
	if got := hex.EncodeToString(appendUnpair(nil, token)); got != unpair.Encoded {
		t.Errorf("encoded %s", got)
	}
}

func FuzzMessages(f *testing.F) {
	pairs, unpair := loadVectors(f)
	for _, v := range append(pairs, unpair) {
		f.Add(unhex(f, v.Encoded))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodePair(b); err == nil {
			if again, err := decodePair(p.appendTo(nil)); err != nil || again != p {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
		if token, err := decodeUnpair(b); err == nil {
			if again, err := decodeUnpair(appendUnpair(nil, token)); err != nil || again != token {
				t.Fatalf("%x became %x, %v", token, again, err)
			}
		}
	})
}
