package link

import (
	"errors"
	"strings"
	"unicode"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// The kinds of links.
const (
	Invite = "invite"
	Share  = "share" // of a recovery phrase
	Space  = "space"
)

const scheme = "cloudpal://"

// Format returns the link of a kind with the bytes b.
func Format(kind string, b []byte) string { return scheme + kind + "/" + hypercrypto.EncodeZ32(b) }

// ForQR returns the same link in capitals, which need less room in a QR code.
func ForQR(link string) string { return strings.ToUpper(link) }

// Is tells whether text looks like a link of some kind, a damaged one maybe.
func Is(text string) bool {
	text = strings.TrimPrefix(strings.TrimSpace(text), "<")
	return len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme)
}

// maxText limits what Parse looks at.
const maxText = 16 << 10

// Parse returns the bytes of a link of a kind. The error is of kind Usage.
func Parse(kind, text string) ([]byte, error) {
	if len(text) > maxText {
		return nil, fault.New(fault.Usage, "this is too long for %s", article(kind))
	}
	s := strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' {
			return -1
		}
		return r
	}, text))
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	rest, ours := strings.CutPrefix(s, scheme+kind+"/")
	switch {
	case ours:
		s = strings.TrimSuffix(rest, "/")
	case strings.HasPrefix(s, "hyper://"), strings.HasPrefix(s, "pear://"):
		return nil, fault.New(fault.Usage, "this is a link to a drive, not %s", article(kind)).Hint("fetch it: cloudpal get LINK")
	case strings.Contains(s, "://"):
		return nil, fault.New(fault.Usage, "this is another kind of link, not %s", article(kind)).Hint("it has to begin with %s%s/", scheme, kind)
	}
	if s == "" {
		return nil, fault.New(fault.Usage, "there is no %s", kind)
	}
	b, err := hypercrypto.DecodeZ32(s)
	if err != nil {
		return nil, Damaged(kind, err)
	}
	if len(b) == 0 {
		return nil, Damaged(kind, errors.New("too short"))
	}
	return b, nil
}

// Damaged returns the error of a link whose bytes are not right.
func Damaged(kind string, err error) error {
	return fault.New(fault.Usage, "this is not %s: %w", article(kind), err).Hint("copy all of it, from %s%s/ to its end", scheme, kind)
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}
