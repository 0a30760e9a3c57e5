package hypercrypto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type idVectors struct {
	IDs []struct {
		Key hexBytes
		Z32 string
	}
	Decode map[string]string
}

func TestKeyTextVectors(t *testing.T) {
	var v idVectors
	loadVectors(t, "struct-encodings.json", &v)
	if len(v.IDs) == 0 || len(v.Decode) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.IDs {
		if k := c.Key.key(); k.String() != c.Z32 || k.Hex() != hex.EncodeToString(c.Key) {
			t.Errorf("%x: %s, %s", c.Key, k, k.Hex())
		}
	}
	for text, want := range v.Decode {
		k, err := ParseKey(text)
		if strings.HasPrefix(want, "error: ") {
			if !errors.Is(err, ErrKey) {
				t.Errorf("%q: %s, %v", text, k, err)
			}
		} else if err != nil || k.Hex() != want {
			t.Errorf("%q: %s, %v, want %s", text, k.Hex(), err, want)
		}
	}
}

func TestZ32Vectors(t *testing.T) {
	var v struct {
		Z32 []struct {
			Hex hexBytes
			Z32 string
		}
	}
	loadVectors(t, "hypercore-encoding.json", &v)
	if len(v.Z32) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Z32 {
		if got := EncodeZ32(c.Hex); got != c.Z32 {
			t.Errorf("%x: %s", c.Hex, got)
		}
		if got, err := DecodeZ32(c.Z32); err != nil || !bytes.Equal(got, c.Hex) {
			t.Errorf("%s: %x, %v", c.Z32, got, err)
		}
	}
}

func TestZ32RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		got, err := DecodeZ32(EncodeZ32(b))
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%x, %v", got, err)
		}
	})
}

func TestParseKeyErrorsSayWhatIsWrong(t *testing.T) {
	good := Key{1}.String()
	for text, want := range map[string]string{
		good[:51]:                       "51 characters",
		"l" + good[1:]:                  `character 'l' at position 1`,
		good[:30] + "v" + good[31:]:     `character 'v' at position 31`,
		"00g" + strings.Repeat("0", 61): `character 'g' at position 3`,
	} {
		if _, err := ParseKey(text); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestKeyText(t *testing.T) {
	k := Key{1, 2, 3}
	text, err := k.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back Key
	if err := back.UnmarshalText(text); err != nil || back != k {
		t.Errorf("%s, %v", back, err)
	}
	if err := back.UnmarshalText([]byte("x")); !errors.Is(err, ErrKey) {
		t.Errorf("%v", err)
	}
	if k.IsZero() || !(Key{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	if (Hash{0xab}).String()[:2] != "ab" || (DiscoveryKey{0xcd}).String()[:2] != "cd" {
		t.Error("hashes are not printed as hex")
	}
}

func FuzzParseKey(f *testing.F) {
	var v idVectors
	loadVectors(f, "struct-encodings.json", &v)
	for text := range v.Decode {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseKey(k.String()); err != nil || again != k {
			t.Fatalf("%s: %v", k, err)
		}
	})
}
