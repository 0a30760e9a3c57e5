package shamir

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// slow multiplies as the definition says.
func slow(a, b byte) byte {
	var p uint16
	for i := range 8 {
		if b>>i&1 == 1 {
			p ^= uint16(a) << i
		}
	}
	for i := 15; i >= 8; i-- {
		if p>>i&1 == 1 {
			p ^= 0x11b << (i - 8)
		}
	}
	return byte(p)
}

func TestFieldCompletely(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			if got, want := mul(byte(a), byte(b)), slow(byte(a), byte(b)); got != want {
				t.Fatalf("%d * %d = %d, want %d", a, b, got, want)
			}
		}
		if a > 0 && mul(byte(a), inverse(byte(a))) != 1 {
			t.Errorf("%d has the inverse %d", a, inverse(byte(a)))
		}
	}
	// The examples of FIPS 197, section 4.2.
	if mul(0x57, 0x83) != 0xc1 || mul(0x57, 0x13) != 0xfe {
		t.Error("this is not the field of AES")
	}
}

// subset returns the shares whose bit is set.
func subset(shares []Share, set int) (out []Share) {
	for i, s := range shares {
		if set>>i&1 == 1 {
			out = append(out, s)
		}
	}
	return out
}

func TestEverySubset(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789ABCDEF")
	for count := 1; count <= 7; count++ {
		for needed := 1; needed <= count; needed++ {
			shares, err := Split(secret, needed, count)
			if err != nil {
				t.Fatal(err)
			}
			for set := 1; set < 1<<count; set++ {
				got, err := Combine(subset(shares, set))
				if err != nil {
					t.Fatal(err)
				}
				enough := bits.OnesCount(uint(set)) >= needed
				if bytes.Equal(got, secret) != enough {
					t.Errorf("%d of %d, subset %b: restored: %v", needed, count, set, !enough)
				}
			}
		}
	}
}

// For two needed: whatever the secret, each value of a share comes of exactly one
// coefficient, so that a share is equally likely with every secret. For three needed
// the same of each pair of shares.
func TestFewerSharesTellNothing(t *testing.T) {
	for _, secret := range []byte{0, 1, 0x53, 0xff} {
		for x := range 4 {
			var seen [256]bool
			for c := range 256 {
				y := split([]byte{secret}, []byte{byte(c)}, 2, 4)[x].Y[0]
				if seen[y] {
					t.Fatalf("secret %d: the value %d comes twice at %d", secret, y, x+1)
				}
				seen[y] = true
			}
		}
		seen := make([]bool, 1<<16)
		for c := range 1 << 16 {
			s := split([]byte{secret}, []byte{byte(c), byte(c >> 8)}, 3, 3)
			y := int(s[0].Y[0]) | int(s[2].Y[0])<<8
			if seen[y] {
				t.Fatalf("secret %d: the values %04x come twice", secret, y)
			}
			seen[y] = true
		}
	}
}

// The polynomial is 3x² + 2x + 1 for the first byte, and 0x80x² + 0xff for the
// second.
func TestSharesOfKnownPolynomials(t *testing.T) {
	shares := split([]byte{0x01, 0xff}, []byte{3, 2, 0x80, 0}, 3, 3)
	for i, want := range []string{"007f", "09c9", "0849"} {
		if got := hex.EncodeToString(shares[i].Y); got != want {
			t.Errorf("share %d is %s, want %s", i+1, got, want)
		}
	}
}

func TestWrongNumbers(t *testing.T) {
	for _, c := range [][2]int{{0, 1}, {2, 1}, {1, 256}, {-1, 3}, {1, 0}} {
		if _, err := Split([]byte{1}, c[0], c[1]); err == nil {
			t.Errorf("%d of %d shares", c[0], c[1])
		}
	}
	for name, shares := range map[string][]Share{
		"none":       nil,
		"place 0":    {{0, []byte{1}}},
		"same place": {{1, []byte{1}}, {1, []byte{2}}},
		"lengths":    {{1, []byte{1}}, {2, []byte{1, 2}}},
	} {
		if _, err := Combine(shares); !errors.Is(err, ErrShares) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnySecretComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "secret")
		count := rapid.IntRange(1, MaxShares).Draw(t, "count")
		needed := rapid.IntRange(1, min(count, 20)).Draw(t, "needed")
		shares, err := Split(secret, needed, count)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Combine(rapid.Permutation(shares).Draw(t, "order")[:needed])
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%x becomes %x: %v", secret, got, err)
		}
	})
}

func FuzzCombine(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6}, 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 1 || n > 64 {
			return
		}
		var shares []Share
		for len(b) > n {
			shares = append(shares, Share{b[0], b[1 : n+1]})
			b = b[n+1:]
		}
		_, _ = Combine(shares)
	})
}
