package hyperdrive

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrPath is the error of a name that no file of a drive can have.
var ErrPath = errors.New("hyperdrive: invalid path")

// maxPath bounds the length of names we write. Other writers may exceed it.
const maxPath = 4096

// Clean returns the path under which a file of that name is stored: it begins
// with a slash, has no empty, "." and ".." parts and does not end in a slash.
// Backslashes separate too, "C:" and "file:" in front are dropped, and of other
// URLs only the path counts, all as the JavaScript stack does it. Nothing is
// decoded or folded. A name that climbs above the root or is the root is an
// [ErrPath].
func Clean(name string) (string, error) {
	p, err := resolve("/", name)
	if err == nil && p == "/" {
		err = fmt.Errorf("%w: %q is the root", ErrPath, name)
	}
	if err != nil {
		return "", err
	}
	return p, nil
}

// cleanNew is Clean for names to be written: what would be stored as another
// name, or would be no name on any disk, is refused.
func cleanNew(name string) (string, error) {
	p, err := Clean(name)
	switch {
	case err != nil:
		return "", err
	case strings.IndexByte(p, 0) >= 0:
		return "", fmt.Errorf("%w: %q contains NUL", ErrPath, name)
	case !utf8.ValidString(p):
		return "", fmt.Errorf("%w: %q is not UTF-8", ErrPath, name)
	case len(p) > maxPath:
		return "", fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrPath, len(p), maxPath)
	}
	return p, nil
}

// CleanFolder is Clean for folders. The root is "".
func CleanFolder(name string) (string, error) {
	p, err := resolve("/", name)
	if p == "/" {
		p = ""
	}
	return p, err
}

// resolve follows path from base, which must be absolute and clean.
func resolve(base, path string) (string, error) {
	names, absolute := splitPath(path)
	if absolute {
		base = "/"
	}
	p := base
	for _, name := range names {
		switch name {
		case "", ".":
		case "..":
			if p == "/" {
				return "", fmt.Errorf("%w: %q has too many \"..\"", ErrPath, path)
			}
			if p = p[:strings.LastIndexByte(p, '/')]; p == "" {
				p = "/"
			}
		default:
			if p != "/" {
				p += "/"
			}
			p += name
		}
	}
	return p, nil
}

// splitPath splits at slashes of both kinds and drops what stands before the
// path in a URL or a Windows path.
func splitPath(path string) (names []string, absolute bool) {
	names = strings.FieldsFunc(path, isSlash)
	first, _, found := strings.Cut(strings.ReplaceAll(path, `\`, "/"), "/")
	if !found || !strings.HasSuffix(first, ":") {
		return names, path != "" && isSlash(rune(path[0]))
	}
	// Empty names count here: the host of a URL is its third name.
	all := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	if first == "file:" || utf16Length(first) == 2 {
		return all[1:], true
	}
	return all[min(3, len(all)):], true
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// utf16Length is the length that JavaScript gives a string.
func utf16Length(s string) (n int) {
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// filesPrefix begins the database keys of files.
const filesPrefix = "files\x00"

// appendKey appends the database key of a clean path.
func appendKey(b []byte, path string) []byte {
	return append(append(b, filesPrefix...), path...)
}

// folderRange returns the keys between which everything below a clean folder
// lies; '0' follows '/'.
func folderRange(folder string) (after, before []byte) {
	after = append(appendKey(nil, folder), '/')
	before = append(appendKey(nil, folder), '/'+1)
	return after, before
}

// pathOf returns the path in a database key, and whether it is the key of a
// file.
func pathOf(key []byte) (string, bool) {
	s := string(key)
	if len(s) <= len(filesPrefix) || s[:len(filesPrefix)] != filesPrefix {
		return "", false
	}
	return s[len(filesPrefix):], true
}
