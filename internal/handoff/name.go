package handoff

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Limits of paths in bytes.
const (
	maxElement = 255
	maxPath    = 4096
)

// errName is about a name that no file can have here, or that would lead out of
// the destination.
var errName = errors.New("impossible name")

// checkPath refuses paths that are not clean, relative and inside.
func checkPath(p string) error {
	switch {
	case p == "" || len(p) > maxPath || !utf8.ValidString(p) || strings.ContainsRune(p, 0),
		path.Clean(p) != p || path.IsAbs(p) || !filepath.IsLocal(filepath.FromSlash(p)):
		return fmt.Errorf("%w %q", errName, printable(p, 100))
	}
	for e := range strings.SplitSeq(p, "/") {
		if e == "." || e == ".." || len(e) > maxElement {
			return fmt.Errorf("%w %q", errName, printable(e, 100))
		}
	}
	if first, _, _ := strings.Cut(p, "/"); strings.HasPrefix(strings.ToLower(first), stagingPrefix) {
		return fmt.Errorf("%w %q", errName, printable(first, 100))
	}
	return nil
}

// checkLink refuses links that lead out of the file or folder that a person named,
// which is the first element of p.
func checkLink(p, target string) error {
	root, _, inside := strings.Cut(p, "/")
	end := path.Join(path.Dir(p), target)
	if target == "" || len(target) > maxPath || path.IsAbs(target) || filepath.IsAbs(filepath.FromSlash(target)) || !inside ||
		strings.ContainsRune(target, 0) || filepath.VolumeName(filepath.FromSlash(target)) != "" ||
		end != root && !strings.HasPrefix(end, root+"/") {
		return fmt.Errorf("link %q: %w", printable(p, 100), errLink)
	}
	return nil
}

// free returns name, or the first of "name (2)", "name (3)" … that is not taken.
// The number goes before the ending, and the result is no longer than a name may
// be.
func free(name string, taken func(string) bool) string {
	ext := path.Ext(name)
	if ext == name || len(ext) > 16 {
		ext = "" // a hidden file, or no ending at all
	}
	stem := strings.TrimSuffix(name, ext)
	for n, try := 2, name; ; n++ {
		if !taken(try) {
			return try
		}
		tail := fmt.Sprintf(" (%d)%s", n, ext)
		s := stem
		for len(s)+len(tail) > maxElement {
			_, size := utf8.DecodeLastRuneInString(s)
			s = s[:len(s)-size]
		}
		try = s + tail
	}
}
