package invite

import (
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

func TestInvitesAreReadAsLinksAndAsText(t *testing.T) {
	i := blindpairing.NewInvite(hypercrypto.Key{1})
	i.Expires, i.Sensitive = time.Unix(1_800_000_000, 0), true
	for _, text := range []string{Link(i), i.Text(), strings.ToUpper(Link(i))} {
		again, err := Parse(text)
		if err != nil || again.Text() != i.Text() {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWrongInvitesAreExplained(t *testing.T) {
	text := Link(blindpairing.NewInvite(hypercrypto.Key{1}))
	for _, text := range []string{"", text[:len(text)-9], "4821-guitar-lantern", "cloudpal://invite/yyyy"} {
		if _, err := Parse(text); fault.KindOf(err) != fault.Usage || len(fault.HintsOf(err)) == 0 && text != "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
