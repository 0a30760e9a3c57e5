package link

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// maxVersion is the largest fork or length that JavaScript can hold.
const maxVersion = 1<<53 - 1

// versionPath is where gateways put a version: /$/version/NUMBER/ and the path.
const versionPath = "/$/version/"

// Parse reads a link. These forms are understood, KEY being 52 z-base-32
// characters or 64 hexadecimal digits:
//
//	hyper://KEY  hyper://KEY+LENGTH  hyper://KEY/$/version/LENGTH/path
//	hyper://FORK.LENGTH.KEY  hyper://FORK.LENGTH.KEY.HASH  and so with pear://
//	pear://ALIAS  file:///path  KEY
//
// each with a path, a query and a fragment where it makes sense. Space around the
// link is ignored. Errors wrap [ErrLink].
func Parse(text string) (*Link, error) {
	text = strings.TrimSpace(text)
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		key, err := parseKey(text)
		if err != nil {
			return nil, err
		}
		return New(key), nil
	}
	l := &Link{Scheme: strings.ToLower(scheme)}
	if l.Scheme != Hyper && l.Scheme != Pear && l.Scheme != File {
		return nil, fmt.Errorf("%w: it begins with %q instead of hyper:// or pear://", ErrLink, scheme+":")
	}
	if rest, ok = strings.CutPrefix(rest, "//"); !ok {
		return nil, fmt.Errorf("%w: %s: is not followed by //", ErrLink, scheme)
	}
	rest, l.Fragment, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	host, rawPath := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, rawPath = rest[:i], rest[i:]
	}
	if err := l.parsePath(rawPath); err != nil {
		return nil, err
	}
	if l.Scheme == File {
		l.Query = query
		if host != "" {
			return nil, fmt.Errorf("%w: a file link has three slashes", ErrLink)
		}
		return l, nil
	}
	if err := l.parseQuery(query); err != nil {
		return nil, err
	}
	return l, l.parseHost(host)
}

func (l *Link) parsePath(raw string) (err error) {
	if after, ok := strings.CutPrefix(raw, versionPath); ok && l.Scheme == Hyper {
		number, rest, slash := strings.Cut(after, "/")
		if l.Length, err = parseVersion("version", number); err != nil {
			return err
		}
		if raw = ""; slash {
			raw = "/" + rest
		}
	}
	p, err := url.PathUnescape(raw)
	if err != nil {
		return fmt.Errorf("%w: path: %w", ErrLink, err)
	}
	l.Path = clean(p)
	return nil
}

// clean resolves "." and ".." and keeps a slash at the end.
func clean(p string) string {
	if p == "" {
		return ""
	}
	out := path.Clean(p)
	last := p[strings.LastIndexByte(p, '/')+1:]
	if out != "/" && (last == "" || last == "." || last == "..") {
		out += "/"
	}
	return out
}

// parseQuery takes the encryption key out of the query and leaves the rest as it
// is.
func (l *Link) parseQuery(query string) error {
	var rest []string
	for param := range strings.SplitSeq(query, "&") {
		value, ok := strings.CutPrefix(param, encryptionParam+"=")
		if !ok {
			rest = append(rest, param)
			continue
		}
		if l.EncryptionKey != nil {
			return fmt.Errorf("%w: it has two encryption keys", ErrLink)
		}
		key, err := parseBytes("encryption key", value)
		if err != nil {
			return err
		}
		l.EncryptionKey = (*hypercrypto.EncryptionKey)(&key)
	}
	l.Query = strings.Join(rest, "&")
	return nil
}

func (l *Link) parseHost(host string) (err error) {
	parts := strings.Split(host, ".")
	name := parts[0]
	switch n := len(parts); {
	case n == 1:
	case isDomain(parts):
		return fmt.Errorf("%w: %q is a domain name; the link needs the key it stands for", ErrName, host)
	case n == 3 || n == 4:
		if l.Length != nil {
			return errTwoVersions
		}
		if l.Fork, err = parseVersion("fork", parts[0]); err != nil {
			return err
		}
		if l.Length, err = parseVersion("length", parts[1]); err != nil {
			return err
		}
		name = parts[2]
		if len(parts) == 4 {
			hash, err := parseBytes("drive hash", parts[3])
			if err != nil {
				return err
			}
			l.DriveHash = (*hypercrypto.Hash)(&hash)
		}
	default:
		return fmt.Errorf("%w: %q has %d parts; expected KEY, FORK.LENGTH.KEY or FORK.LENGTH.KEY.HASH", ErrLink, host, len(parts))
	}
	return l.parseName(name)
}

var errTwoVersions = fmt.Errorf("%w: it has two versions", ErrLink)

// isDomain tells whether the parts look like a domain name and not like a
// mistyped version: neither a number in front nor a key among them.
func isDomain(parts []string) bool {
	for _, p := range parts {
		if len(p) >= 50 || p == "" {
			return false
		}
	}
	return strings.Trim(parts[0], "0123456789") != ""
}

// parseName reads the key, with its version in the older form, or an alias.
func (l *Link) parseName(name string) (err error) {
	if key, version, ok := strings.Cut(name, "+"); ok {
		if l.Scheme != Hyper {
			return fmt.Errorf("%w: a version in a pear link is written FORK.LENGTH.KEY", ErrLink)
		}
		if l.Length != nil {
			return errTwoVersions
		}
		if l.Length, err = parseVersion("version", version); err != nil {
			return err
		}
		name = key
	}
	if l.Scheme == Pear {
		if key, ok := aliasKey(name); ok {
			l.Key, l.Alias = key, name
			return nil
		}
	}
	if name != "" && len(name) <= maxAlias {
		return fmt.Errorf("%w: %q is no key and no known alias", ErrName, name)
	}
	l.Key, err = parseKey(name)
	return err
}

// maxAlias is the length up to which a name that is no key is taken for an alias
// and not for a key with characters missing.
const maxAlias = 24

// aliasKey returns the key of an application that pear knows by name.
func aliasKey(name string) (hypercrypto.Key, bool) {
	switch name {
	case "keet":
		key, err := hypercrypto.ParseKey("oeeoz3w6fjjt7bym3ndpa6hhicm8f8naxyk11z4iypeoupn6jzpo")
		return key, err == nil
	}
	return hypercrypto.Key{}, false
}

func parseKey(text string) (hypercrypto.Key, error) { return parseBytes("key", text) }

// parseBytes reads 32 bytes that are written like a key.
func parseBytes(what, text string) (hypercrypto.Key, error) {
	switch {
	case text == "":
		return hypercrypto.Key{}, fmt.Errorf("%w: the %s is missing", ErrLink, what)
	case strings.Contains(text, "/"): // a key inside another link
		return hypercrypto.Key{}, fmt.Errorf("%w: there is a slash in the %s", ErrLink, what)
	}
	key, err := hypercrypto.ParseKey(text)
	if err != nil {
		return hypercrypto.Key{}, fmt.Errorf("%w: %s: %w", ErrLink, what, err)
	}
	return key, nil
}

// parseVersion reads a decimal number of digits only.
func parseVersion(what, text string) (*uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > maxVersion {
		return nil, fmt.Errorf("%w: %s %q is not a number up to %d", ErrLink, what, text, uint64(maxVersion))
	}
	return &n, nil
}
