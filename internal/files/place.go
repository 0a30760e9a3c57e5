package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
	"github.com/tradle/cloudpal/internal/fault"
)

// Place is what a reference names: a drive, a version that the reference itself
// asks for, and a path.
type Place struct {
	// Record is the drive; one that the library does not remember has no Name.
	Record Record
	// Version is 0 unless the link names one.
	Version uint64
	// Path is clean: it begins with a slash, or is empty for the whole drive.
	Path string
}

// Find finds out what a person means: a link, the name of a known drive, or a
// path that is shared, each with a path behind it. Relative paths start from
// dir.
func (l *Library) Find(ref, dir string) (Place, error) {
	if ref == "" {
		return Place{}, fault.New(fault.Usage, "the link is empty")
	}
	if isLink(ref) {
		return l.findLink(ref)
	}
	name, inside, _ := strings.Cut(filepath.ToSlash(ref), "/")
	if r, ok := l.registry.byName(name); ok {
		return placeIn(r, 0, inside)
	}
	path := ref
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if r, inside, ok := l.covering(filepath.Clean(path)); ok {
		return placeIn(r, 0, inside)
	}
	if looksLikeKey(name) {
		return l.findLink(link.Hyper + "://" + ref)
	}
	if l.registry.damage != nil {
		return Place{}, l.registry.damage // it may be there
	}
	if _, err := os.Lstat(path); err == nil {
		return Place{}, fault.New(fault.NotFound, "%s is not shared", ref).Hint("import it: cloudpal share --once %s", fault.Word(ref))
	}
	return Place{}, fault.New(fault.NotFound, "%s is no link, no known drive and no shared path", ref).
		Hint("a link begins with hyper://").Hint("list the known drives: cloudpal info")
}

func isLink(ref string) bool {
	scheme, _, ok := strings.Cut(ref, "://")
	return ok && !strings.ContainsAny(scheme, "/\\.")
}

// looksLikeKey tells whether a text can only be meant as a key.
func looksLikeKey(s string) bool {
	s, _, _ = strings.Cut(s, "+")
	s, _, _ = strings.Cut(s, "?")
	return len(s) >= 48 && len(s) <= 70 && !strings.ContainsAny(s, ". _")
}

func (l *Library) findLink(ref string) (Place, error) {
	// People add a path to the end of a link, also behind an encryption key.
	head, query, ok := strings.Cut(ref, "?")
	if i := strings.IndexByte(query, '/'); ok && i >= 0 {
		ref = strings.TrimSuffix(head, "/") + query[i:] + "?" + query[:i]
	}
	parsed, err := link.Parse(ref)
	if err != nil {
		f := fault.New(fault.Usage, "%s", strings.Replace(strings.TrimPrefix(err.Error(), "link: "), "hypercrypto: not a key: ", "", 1))
		if errors.Is(err, link.ErrName) {
			return Place{}, f.Hint("ask for the link with the key in it")
		}
		return Place{}, f.Hint("copy the whole link again; it begins with hyper:// and 52 characters follow")
	}
	if parsed.Scheme == link.File {
		return l.Find(parsed.Path, "/")
	}
	if parsed.Key == (hypercrypto.Key{}) {
		return Place{}, fault.New(fault.Usage, "the key in the link is that of no drive").Hint("copy the whole link again")
	}
	r, known := l.registry.byKey(parsed.Key)
	if !known {
		r = Record{Key: parsed.Key}
	}
	if parsed.EncryptionKey != nil {
		r.EncryptionKey = parsed.EncryptionKey
	}
	r.Link = linkTo(r.Key, r.EncryptionKey)
	version := uint64(0)
	if parsed.Length != nil {
		version = *parsed.Length
	}
	return placeIn(r, version, parsed.Path)
}

// covering returns the own drive that follows path or a folder above it; the
// nearest one if there are several.
func (l *Library) covering(path string) (r Record, inside string, ok bool) {
	for _, c := range l.Records() {
		if rest, covers := c.covers(path); covers && (!ok || len(c.Path) > len(r.Path)) {
			r, inside, ok = c, rest, true
		}
	}
	// A drive of a single file has the file's name as its only path.
	if ok && inside == "" && isFile(r.Path) {
		inside = "/" + filepath.Base(r.Path)
	}
	return r, inside, ok
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && !info.IsDir()
}

func placeIn(r Record, version uint64, path string) (Place, error) {
	p := Place{Record: r, Version: version}
	if strings.Trim(path, "/") == "" {
		return p, nil
	}
	clean, err := hyperdrive.CleanFolder(path)
	if err != nil {
		return p, fault.New(fault.Usage, "path %q: %w", path, err)
	}
	p.Path = clean
	return p, nil
}

// shortKey names a drive that has no name.
func shortKey(k hypercrypto.Key) string { return k.String()[:8] }
