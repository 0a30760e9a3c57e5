package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// folder is a folder of the operating system.
type folder struct {
	root  string   // absolute
	roots []string // the names under which links can refer to it
	t     *tracker

	unreadable []string // folders whose content is unknown
	leftovers  []string // temporary files of exports, relative
}

func openFolder(dir string, t *tracker) (*folder, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root, roots: []string{root}, t: t}
	if real, err := filepath.EvalSymlinks(root); err == nil && real != root {
		f.roots = append(f.roots, real)
	}
	return f, nil
}

// local returns the operating system's name of a path.
func (f *folder) local(path string) string { return filepath.Join(f.root, filepath.FromSlash(path)) }

// nodes yields the files and links at prefix and below, in the byte order of
// their paths. What is neither is a problem.
func (f *folder) nodes(prefix string) iter.Seq2[*node, error] {
	return func(yield func(*node, error) bool) {
		info, err := os.Lstat(f.local(prefix))
		if prefix == "" {
			info, err = os.Stat(f.root)
		}
		switch {
		case prefix != "" && errors.Is(err, fs.ErrNotExist):
		case err != nil:
			yield(nil, err)
		case info.IsDir():
			f.walk(prefix, yield)
		case prefix == "":
			yield(nil, fmt.Errorf("%s is no folder", f.root))
		default:
			if n := f.node(prefix, info); n != nil {
				yield(n, nil)
			}
		}
	}
}

// walk yields what lies below a folder and tells whether to go on.
func (f *folder) walk(dir string, yield func(*node, error) bool) bool {
	list, err := readNames(f.local(dir))
	if err != nil {
		if dir == "" {
			yield(nil, err)
			return false
		}
		if !errors.Is(err, fs.ErrNotExist) {
			f.unreadable = append(f.unreadable, dir)
			f.t.problem(dir, err)
		}
		return true
	}
	for _, d := range list {
		path := dir + "/" + d.Name()
		if isTemporary(d.Name()) {
			f.leftovers = append(f.leftovers, path[1:])
			continue
		}
		if f.t.opts.Ignore != nil && f.t.opts.Ignore(path) {
			continue
		}
		if !utf8.ValidString(path) || !hyperdrive.ValidPath(path) {
			f.t.problem(path, fmt.Errorf("%w: %q", ErrName, d.Name()))
			continue
		}
		if d.IsDir() {
			if !f.walk(path, yield) {
				return false
			}
			continue
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			f.t.problem(path, err)
			f.unreadable = append(f.unreadable, path)
			continue
		}
		if n := f.node(path, info); n != nil && !yield(n, nil) {
			return false
		}
	}
	return true
}

// readNames reads a folder in the order in which the paths of what is in it and
// below it sort: as if the names of folders ended in a slash.
func readNames(dir string) ([]os.DirEntry, error) {
	h, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	list, err := h.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b os.DirEntry) int {
		an, bn := a.Name(), b.Name()
		n := min(len(an), len(bn))
		if c := strings.Compare(an[:n], bn[:n]); c != 0 {
			return c
		}
		return int(byteAfter(a, n)) - int(byteAfter(b, n))
	})
	return list, nil
}

// byteAfter returns the byte at n of the name with a slash at the end of a
// folder's, 0 at the end of others.
func byteAfter(d os.DirEntry, n int) byte {
	switch name := d.Name(); {
	case n < len(name):
		return name[n]
	case d.IsDir():
		return '/'
	default:
		return 0
	}
}

// node describes a file or link; nil for what cannot be mirrored.
func (f *folder) node(path string, info fs.FileInfo) *node {
	n := &node{path: path, info: info, modTime: info.ModTime()}
	switch info.Mode().Type() {
	case 0:
		n.size = uint64(info.Size())
		n.executable = info.Mode()&0o100 != 0
	case fs.ModeSymlink:
		target, err := os.Readlink(f.local(path))
		if err != nil {
			f.t.problem(path, err)
			return nil
		}
		n.link = f.driveLink(target)
	default:
		f.t.problem(path, special(info.Mode()))
		return nil
	}
	return n
}

// special says what a file is that cannot be mirrored.
func special(mode fs.FileMode) error {
	what := "unknown kind"
	switch {
	case mode.IsDir():
		what = "folder" // it took the place of a file
	case mode&fs.ModeNamedPipe != 0:
		what = "named pipe"
	case mode&fs.ModeSocket != 0:
		what = "socket"
	case mode&fs.ModeDevice != 0:
		what = "device"
	}
	return fmt.Errorf("%w: %s", ErrSpecial, what)
}

// driveLink returns the form in which a drive stores the target of a link: with
// slashes, and absolute within the folder if it is so on disk.
func (f *folder) driveLink(target string) string {
	if filepath.IsAbs(target) {
		for _, root := range f.roots {
			rest, ok := strings.CutPrefix(target, strings.TrimSuffix(root, string(filepath.Separator)))
			if ok && (rest == "" || os.IsPathSeparator(rest[0])) {
				return "/" + strings.TrimLeft(filepath.ToSlash(rest), "/")
			}
		}
	}
	if runtime.GOOS == "windows" {
		return filepath.ToSlash(target)
	}
	return target
}

// known tells whether the folder is sure not to have path, if it was not
// yielded.
func (f *folder) known(path string) bool {
	return !slices.ContainsFunc(f.unreadable, func(u string) bool { return within(path, u) })
}

// Temporary files of exports are named so that they can be told from others.
const (
	temporaryPrefix = ".hyperdrive-"
	temporarySuffix = ".tmp"
)

func isTemporary(name string) bool {
	return len(name) == len(temporaryPrefix)+16+len(temporarySuffix) &&
		strings.HasPrefix(name, temporaryPrefix) && strings.HasSuffix(name, temporarySuffix)
}
