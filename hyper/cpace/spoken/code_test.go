package spoken

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWordsAreEasyToTellApart(t *testing.T) {
	if len(words) != 256 || !slices.IsSorted(words) {
		t.Fatalf("%d words, sorted: %v", len(words), slices.IsSorted(words))
	}
	for i, a := range words {
		if len(a) < 4 || len(a) > 8 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("%q is no word for a code", a)
		}
		for _, b := range words[:i] {
			if a[:3] == b[:3] {
				t.Errorf("%q and %q begin the same", a, b)
			}
			if distance(a, b) < 3 {
				t.Errorf("%q and %q are nearly the same", a, b)
			}
		}
	}
}

func TestTwoWordsWrittenAsOneAreUnambiguous(t *testing.T) {
	for _, a := range words {
		for _, b := range words {
			if x, y, ok := halves(a + b); !ok || x != a || y != b {
				t.Fatalf("%q is read as %q and %q", a+b, x, y)
			}
		}
	}
}

func TestCodesAreReadHoweverTheyAreWritten(t *testing.T) {
	want := Code{4821, [2]string{"guitar", "walnut"}}
	for _, s := range []string{
		"4821-guitar-walnut", "4821 guitar walnut", "4821guitarwalnut", " 48 21 GUITAR  Walnut ", "4821_guitar_walnut\n",
		"4821\u2013guitar\u2011walnut", "guitar walnut 4821", "4821 - guitar, walnut.",
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%q is read as %v: %v", s, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := New()
		if got, err := Parse(c.String()); err != nil || got != c {
			t.Fatalf("%v is read as %v: %v", c, got, err)
		}
	})
}

func TestMistakesGetSuggestions(t *testing.T) {
	for s, want := range map[string]string{
		"4821-giutar-walnut": "guitar", "4821 guitar wallnut": "walnut", "4821-gui-walnut": "guitar", "4821-gitar-walnut": "guitar",
		"4821-guitar-valnut": "walnut",
	} {
		_, err := Parse(s)
		var p *ParseError
		if !errors.As(err, &p) || len(p.Suggestions) == 0 || p.Suggestions[0] != want {
			t.Errorf("%q: %v, %+v", s, err, p)
		}
	}
	for _, s := range []string{"", "guitar walnut", "482-guitar-walnut", "48211-guitar-walnut", "0821-guitar-walnut", "4821", "4821-guitar",
		"4821-guitar-walnut-lemur", "4821-guitar-walnut-guitar", "4821-xxxxxxxx-walnut", strings.Repeat("4821 ", 1000)} {
		if c, err := Parse(s); err == nil {
			t.Errorf("%q is read as %v", s, c)
		}
	}
}

func TestCompletion(t *testing.T) {
	for s, want := range map[string][]string{
		"4821-gui":        {"4821-guitar"},
		"4821-guitar-wal": {"4821-guitar-walnut"},
		"4821 Guitar Wal": {"4821-guitar-walnut"},
		"4821-xxx":        nil,
		"482":             nil,
		"":                nil,
	} {
		if got := Complete(s); !slices.Equal(got, want) {
			t.Errorf("%q goes on to %v", s, got)
		}
	}
	if n := len(Complete("4821-")); n != 256 {
		t.Errorf("the first word may be one of %d", n)
	}
	if n := len(Complete("4821-guitar-")); n != 256 {
		t.Errorf("the second word may be one of %d", n)
	}
	if got := Complete("4821-guitar-walnut-"); got != nil {
		t.Errorf("a whole code goes on to %v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"4821-guitar-walnut", "4821guitarwalnut", "4821-giutar-é", "", "0000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range Complete(s) {
			if len(c) < 6 {
				t.Fatalf("%q goes on to %q", s, c)
			}
		}
		c, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Fatalf("%q is read as %v, and that as %v: %v", s, c, again, err)
		}
	})
}
