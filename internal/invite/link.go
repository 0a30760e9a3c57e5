package invite

import (
	"strings"
	"unicode"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/internal/fault"
)

// scheme begins every link.
const scheme = "cloudpal://invite/"

// Link returns the link of an invite. It is a secret.
func Link(i *blindpairing.Invite) string { return scheme + i.Text() }

// QRText returns the link in capitals, which need less room in a QR code. [Parse]
// reads it, too.
func QRText(i *blindpairing.Invite) string { return strings.ToUpper(Link(i)) }

// maxText limits what Parse looks at.
const maxText = 8 << 10

// Parse reads a link, or an invite in z-base-32 without a link around it. Case does
// not matter, nor do spaces and line breaks, which long texts get on their way. The
// error is of kind Usage.
func Parse(text string) (*blindpairing.Invite, error) {
	if len(text) > maxText {
		return nil, fault.New(fault.Usage, "this is too long for an invite")
	}
	s := strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' {
			return -1
		}
		return r
	}, text))
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	if rest, ok := strings.CutPrefix(s, scheme); ok {
		s = strings.TrimSuffix(rest, "/")
	}
	switch {
	case s == "":
		return nil, fault.New(fault.Usage, "there is no invite")
	case strings.HasPrefix(s, "hyper://"), strings.HasPrefix(s, "pear://"):
		return nil, fault.New(fault.Usage, "this is a link to a drive, not an invite").Hint("fetch it: cloudpal get LINK")
	case strings.Contains(s, "://"):
		return nil, fault.New(fault.Usage, "this is another kind of link, not an invite").Hint("an invite begins with %s", scheme)
	}
	i, err := blindpairing.ParseInvite(s)
	if err != nil {
		return nil, fault.New(fault.Usage, "%w", err).Hint("copy all of the invite, from %s to its end", scheme)
	}
	return i, nil
}
