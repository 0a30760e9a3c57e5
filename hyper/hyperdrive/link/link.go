package link

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrLink is the error of a text that is no link. The wrapped text says what is
// wrong with it, for showing to whoever typed it.
var ErrLink = errors.New("link: not a valid link")

// ErrName is the error of a link to a name that only somebody else can turn into a
// key: a domain name, a local name or an unknown alias. It wraps [ErrLink].
var ErrName error = nameError{}

type nameError struct{}

func (nameError) Error() string { return ErrLink.Error() + ": names are not supported" }
func (nameError) Unwrap() error { return ErrLink }

// Schemes of links.
const (
	Hyper = "hyper"
	Pear  = "pear"
	File  = "file" // a folder on this device; the link has a Path and no Key
)

// encryptionParam is the query parameter that holds an encryption key.
const encryptionParam = "encryption"

// Link is a parsed link. The zero value with Scheme and Key set is the link to a
// drive as it is now.
type Link struct {
	// Scheme is Hyper, Pear or File.
	Scheme string
	// Key is the key of the drive.
	Key hypercrypto.Key
	// Alias is the name that stood for the key in a pear link.
	Alias string
	// Length is the version: the length of the drive's log. Nil is the latest.
	Length *uint64
	// Fork is the fork that the version belongs to. Pear links that have one of
	// Fork and Length need both: without Fork they are written as JavaScript does,
	// in a form that nobody reads.
	Fork *uint64
	// DriveHash is the tree hash that the drive has at Length. It needs Fork and
	// Length.
	DriveHash *hypercrypto.Hash
	// EncryptionKey opens the drive, if it is encrypted.
	EncryptionKey *hypercrypto.EncryptionKey
	// Path is the path inside the drive, decoded and without "." and ".." in it. It
	// begins with a slash or is empty.
	Path string
	// Query is what follows the question mark, as written, without the encryption
	// key.
	Query string
	// Fragment is what follows the hash sign, as written.
	Fragment string
}

// New returns the hyper link to a drive.
func New(key hypercrypto.Key) *Link { return &Link{Scheme: Hyper, Key: key} }

// URL returns the link with everything in it, including the encryption key.
func (l *Link) URL() string { return l.format(true) }

// String returns the link without the encryption key, so that logs can show it.
func (l *Link) String() string { return l.format(false) }

// Origin returns the scheme and the drive of the link, without its version.
func (l *Link) Origin() string {
	if l.Scheme == File {
		return File + "://" + escapePath(l.Path)
	}
	return l.Scheme + "://" + l.name()
}

func (l *Link) name() string {
	if l.Alias != "" {
		return l.Alias
	}
	return l.Key.String()
}

func (l *Link) format(secret bool) string {
	var b strings.Builder
	b.WriteString(l.Scheme + "://")
	if l.Scheme != File {
		l.writeHost(&b)
	}
	p := escapePath(l.Path)
	if rest, ok := strings.CutPrefix(p, versionPath); ok && l.Scheme == Hyper {
		p = "/%24/version/" + rest // a path, not a version
	}
	b.WriteString(p)
	query := l.Query
	if secret && l.EncryptionKey != nil {
		if query != "" {
			query += "&"
		}
		query += encryptionParam + "=" + hypercrypto.EncodeZ32(l.EncryptionKey[:])
	}
	if query != "" {
		b.WriteString("?" + query)
	}
	if l.Fragment != "" {
		b.WriteString("#" + l.Fragment)
	}
	return b.String()
}

func (l *Link) writeHost(b *strings.Builder) {
	plus := l.Scheme == Hyper && l.Fork == nil && l.Length != nil
	if l.Fork != nil {
		b.WriteString(strconv.FormatUint(*l.Fork, 10) + ".")
	}
	if l.Length != nil && !plus {
		b.WriteString(strconv.FormatUint(*l.Length, 10) + ".")
	}
	b.WriteString(l.name())
	if plus {
		b.WriteString("+" + strconv.FormatUint(*l.Length, 10))
	}
	if l.DriveHash != nil {
		b.WriteString("." + hypercrypto.EncodeZ32(l.DriveHash[:]))
	}
}

func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }

// Normalize returns the text of a link without a slash at its end.
func Normalize(text string) string { return strings.TrimSuffix(text, "/") }
