package filetree

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// Limits of paths, in bytes and names. Names are kept byte for byte: two that differ
// only in case or in the normal form of Unicode are two.
const (
	MaxPath  = 4096
	MaxName  = 255
	MaxDepth = 256
)

// ErrPath is the error of a path that no entry can have.
var ErrPath = errors.New("filetree: invalid path")

// CheckPath refuses what is no path of an entry: it has to be relative, clean, with
// slashes, valid UTF-8 without a zero byte, and within the limits.
func CheckPath(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("%w: empty", ErrPath)
	case len(p) > MaxPath:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrPath, len(p), MaxPath)
	case strings.IndexByte(p, 0) >= 0:
		return fmt.Errorf("%w: %q has a zero byte", ErrPath, p)
	case !utf8.ValidString(p):
		return fmt.Errorf("%w: %q is not UTF-8", ErrPath, p)
	}
	depth := 0
	for rest, more := p, true; more; depth++ {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		switch {
		case name == "" || name == "." || name == "..":
			return fmt.Errorf("%w: %q is not relative and clean", ErrPath, p)
		case len(name) > MaxName:
			return fmt.Errorf("%w: name of %d bytes, at most %d", ErrPath, len(name), MaxName)
		}
	}
	if depth > MaxDepth {
		return fmt.Errorf("%w: %d names, at most %d", ErrPath, depth, MaxDepth)
	}
	return nil
}

// parent returns the directory of a path, empty for the root.
func parent(p string) string {
	return p[:max(0, strings.LastIndexByte(p, '/'))]
}

// base returns the last name of a path.
func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// join returns the path of a name in a directory.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// under tells whether p is below dir. Everything but the root is below the root.
func under(p, dir string) bool {
	if dir == "" {
		return p != ""
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// within tells whether p is dir or below it.
func within(p, dir string) bool { return p == dir || under(p, dir) }

// rebase returns the path that p, within from, has when from becomes to.
func rebase(p, from, to string) string { return to + p[len(from):] }

// upwards yields p and then the directories above it, without the root.
func upwards(p string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for ; p != ""; p = parent(p) {
			if !yield(p) {
				return
			}
		}
	}
}

// comparePaths orders paths as the tree is walked: a directory, all that is below it,
// then the next name.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			case x < y:
				return -1
			}
			return 1
		}
	}
	return len(a) - len(b)
}
