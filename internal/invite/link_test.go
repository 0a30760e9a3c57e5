package invite

import (
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

func TestInvitesAreReadHoweverTheyArrive(t *testing.T) {
	i := blindpairing.NewInvite(hypercrypto.Key{1})
	i.Expires, i.Sensitive = time.Unix(1_800_000_000, 0), true
	link := Link(i)
	if !strings.HasPrefix(link, "cloudpal://invite/") {
		t.Errorf("the link is %s", link)
	}
	half := len(link) / 2
	for _, text := range []string{
		link, link + "\n", i.Text(), QRText(i), strings.ToUpper(link), "  <" + link + ">", link + "/",
		link[:half] + "\r\n  " + link[half:], link[:half] + "\u200b" + link[half:] + " ",
	} {
		again, err := Parse(text)
		if err != nil || again.Text() != i.Text() {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWrongInvitesAreExplained(t *testing.T) {
	link := Link(blindpairing.NewInvite(hypercrypto.Key{1}))
	for text, want := range map[string]string{
		"":                       "no invite",
		"cloudpal://invite/":     "no invite",
		"hyper://abc":            "link to a drive",
		"https://example.org":    "another kind of link",
		link[:len(link)-9]:       "not an invite",
		link + "0":               "not an invite",
		strings.Repeat("y", 9e3): "too long",
		"4821-guitar-lemon":      "not an invite",
	} {
		_, err := Parse(text)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	i := blindpairing.NewInvite(hypercrypto.Key{1})
	f.Add(Link(i))
	f.Add(QRText(i))
	f.Add("<cloudpal://invite/ y>")
	f.Fuzz(func(t *testing.T, s string) {
		i, err := Parse(s)
		if err != nil {
			if fault.KindOf(err) != fault.Usage {
				t.Fatal(err)
			}
			return
		}
		if again, err := Parse(QRText(i)); err != nil || again.Text() != i.Text() {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
