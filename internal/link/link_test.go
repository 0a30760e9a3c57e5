package link

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestLinksAreReadHoweverTheyArrive(t *testing.T) {
	b := []byte("some bytes of a link")
	link := Format(Invite, b)
	if !strings.HasPrefix(link, "cloudpal://invite/") {
		t.Errorf("the link is %s", link)
	}
	half := len(link) / 2
	for _, text := range []string{
		link, link + "\n", strings.TrimPrefix(link, "cloudpal://invite/"), ForQR(link), "  <" + link + ">", link + "/",
		link[:half] + "\r\n  " + link[half:], link[:half] + "\u200b" + link[half:] + " ",
	} {
		if got, err := Parse(Invite, text); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWrongLinksAreExplained(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "no invite",
		"cloudpal://invite/":      "no invite",
		"cloudpal://share/y":      "another kind of link, not an invite",
		"hyper://abc":             "link to a drive",
		"https://example.org":     "another kind of link",
		"cloudpal://invite/l0v":   "not an invite",
		strings.Repeat("y", 17e3): "too long for an invite",
	} {
		_, err := Parse(Invite, text)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Format(Share, []byte{1, 2, 3}))
	f.Add(ForQR(Format(Share, []byte{1, 2, 3})))
	f.Add("<cloudpal://share/ y>")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Parse(Share, s)
		if err != nil {
			if fault.KindOf(err) != fault.Usage {
				t.Fatal(err)
			}
			return
		}
		if again, err := Parse(Share, ForQR(Format(Share, b))); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
