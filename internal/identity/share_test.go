package identity

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/link"
)

func phraseOf(t testing.TB, words int) identitykey.Mnemonic {
	t.Helper()
	m, err := identitykey.MnemonicOf(identitykey.NewMnemonic().Entropy()[:words/3*4])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every subset of every set of shares, as friends give them back.
func TestEverySubsetOfShares(t *testing.T) {
	for count := 2; count <= 7; count++ {
		for needed := 2; needed <= count; needed++ {
			phrase := identitykey.NewMnemonic()
			shares, err := Split(phrase, needed, count)
			if err != nil {
				t.Fatal(err)
			}
			for set := range 1 << count {
				var given []*Share
				for i := range shares {
					if set>>i&1 == 1 {
						s, err := ParseShare(shares[i].Link())
						if err != nil {
							t.Fatal(err)
						}
						given = append(given, s)
					}
				}
				got, err := Combine(given)
				switch enough := bits.OnesCount(uint(set)) >= needed; {
				case enough && (err != nil || got.Reveal() != phrase.Reveal()):
					t.Errorf("%d of %d, subset %b: %v", needed, count, set, err)
				case !enough && (fault.KindOf(err) != fault.Usage || len(got.Words()) > 0):
					t.Errorf("%d of %d, subset %b: %v, %v", needed, count, set, got, err)
				}
			}
		}
	}
}

func TestSharesOfShorterPhrases(t *testing.T) {
	for _, words := range []int{12, 15, 18, 21, 24} {
		phrase := phraseOf(t, words)
		shares, err := Split(phrase, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Combine([]*Share{&shares[2], &shares[0]})
		if err != nil || got.Reveal() != phrase.Reveal() {
			t.Errorf("%d words: %v", words, err)
		}
	}
}

// A friend who lies cannot make another phrase of the right ones, and is outvoted by
// one friend more.
func TestWrongSharesAreNoticed(t *testing.T) {
	phrase := identitykey.NewMnemonic()
	shares, err := Split(phrase, 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	lie := shares[1]
	lie.values = append([]byte(nil), lie.values...)
	lie.values[5] ^= 1
	if _, err := Combine([]*Share{&shares[0], &lie, &shares[2]}); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("with a lie: %v", err)
	}
	for _, given := range [][]*Share{
		{&shares[0], &lie, &shares[2], &shares[3]},
		{&lie, &lie, &shares[1], &shares[2], &shares[4]}, // two at one place
		{&shares[0], &shares[0], &shares[2], &shares[4]},
	} {
		if got, err := Combine(given); err != nil || got.Reveal() != phrase.Reveal() {
			t.Errorf("%d given: %v", len(given), err)
		}
	}
	// The same share twice is one.
	if _, err := Combine([]*Share{&shares[0], &shares[0], &shares[0]}); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "there are 1") {
		t.Errorf("the same share three times: %v", err)
	}
	others, err := Split(phrase, 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Combine([]*Share{&shares[0], &shares[1], &others[2]}); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "different sets") {
		t.Errorf("two sets: %v", err)
	}
}

func TestMistypedSharesAreRefused(t *testing.T) {
	shares, err := Split(identitykey.NewMnemonic(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	text := shares[0].Link()
	for _, wrong := range []string{"", text[:len(text)-1], text[:len(text)-8], text + "yy", strings.Replace(text, text[40:41], map[bool]string{true: "o", false: "y"}[text[40] == 'y'], 1), "cloudpal://invite/" + text[17:]} {
		if _, err := ParseShare(wrong); fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	b := shares[0].encode()
	for i := range b {
		bad := append([]byte(nil), b...)
		bad[i] ^= 4
		if _, err := decodeShare(bad); err == nil {
			t.Errorf("byte %d may change", i)
		}
	}
	if s, err := ParseShare(link.ForQR(text)); err != nil || s.Place != 1 {
		t.Errorf("in capitals: %v, %v", s, err)
	}
}

func TestSharesThatMakeNoSense(t *testing.T) {
	for _, c := range [][2]int{{1, 3}, {0, 0}, {4, 3}, {2, MaxShares + 1}} {
		if _, err := Split(identitykey.NewMnemonic(), c[0], c[1]); fault.KindOf(err) != fault.Usage {
			t.Errorf("%d of %d: %v", c[0], c[1], err)
		}
	}
	if _, err := Combine(nil); fault.KindOf(err) != fault.Usage {
		t.Errorf("no shares: %v", err)
	}
}

func TestSharesDoNotPrintThemselves(t *testing.T) {
	shares, err := Split(identitykey.NewMnemonic(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	const want = "share 1 of a set of which 2 are needed"
	for _, format := range []string{"%v", "%s", "%+v", "%#v"} {
		if s := fmt.Sprintf(format, shares[0]) + fmt.Sprintf(format, &shares[0]); s != want+want {
			t.Errorf("%s prints %s", format, s)
		}
	}
}

func FuzzShare(f *testing.F) {
	for _, words := range []int{12, 24} {
		shares, err := Split(phraseOf(f, words), 2, 3)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(shares[0].encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeShare(b)
		if err != nil {
			return
		}
		if string(s.encode()) != string(b) {
			t.Fatalf("%x is written as %x", b, s.encode())
		}
		other := *s
		other.Place = s.Place%MaxShares + 1
		if _, err := Combine([]*Share{s, &other, s}); err != nil && !errors.As(err, new(*fault.Error)) {
			t.Fatal(err)
		}
	})
}
