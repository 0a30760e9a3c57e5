package foldersync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// found is something on disk.
type found struct {
	path  string // in the tree
	local string // on disk, relative, with slashes
	kind  filetree.Kind
	stat  stat
}

// edit is a path where the disk is not what the index says.
type edit struct {
	found        // kind 0: nothing is on disk
	old   record // as far as known
	known bool   // there is an old
	apart bool   // it is put into the tree apart from others
	early bool   // it is not due: it counts as a part of a rename only
}

// scanner compares a part of the folder with the index.
type scanner struct {
	f        *Folder
	rules    *rules
	device   uint64
	watch    *watcher
	cursor   *cursor
	next     record
	more     bool
	edits    []edit
	ignored  []string // what the index has and is ignored now
	implied  string   // the folder that is looked at, if the tree does not list it
	emptied  []string // such folders with nothing in them any more
	problems map[string]bool
	files    int // seen on disk
}

// scan returns the differences between disk and index at prefix, a path in the tree,
// and below, in the order of the index. What cannot be read counts as unchanged.
func (f *Folder) scan(ctx context.Context, prefix string) (*scanner, error) {
	device := f.home()
	s := &scanner{f: f, rules: f.rules.Load(), device: device, watch: f.watch.Load(), cursor: f.idx.cursor(prefix), problems: make(map[string]bool)}
	defer s.cursor.close()
	if err := s.advance(); err != nil {
		return nil, err
	}
	local := f.names.local(prefix)
	if prefix == "" {
		if err := s.dir(ctx, "", ""); err != nil {
			return nil, err
		}
	} else if err := s.single(ctx, prefix, local); err != nil {
		return nil, err
	}
	for s.more {
		s.gone(s.next)
		if err := s.advance(); err != nil {
			return nil, err
		}
	}
	f.progress.solvedBelow(shown(prefix), s.problems)
	return s, nil
}

// single looks at a path that is not the root.
func (s *scanner) single(ctx context.Context, path, local string) error {
	if s.f.outside(local) {
		return s.skip(path)
	}
	info, err := s.f.lstat(local)
	switch {
	case isGone(err):
		return nil
	case err != nil:
		return s.unreadable(path, err)
	}
	if s.rules.ignored(path, info.IsDir()) {
		return s.drop(path)
	}
	if err := unfit(path); err != nil {
		s.problem(shown(path), err) // the index has nothing there
		return nil
	}
	return s.visit(ctx, path, local, info)
}

// unfit tells why no tree can have a path.
func unfit(path string) error {
	switch err := filetree.CheckPath(path); {
	case err == nil:
		return nil
	case !utf8.ValidString(path):
		_, name := split(path)
		return fault.New(fault.Usage, "the name %q is not UTF-8", name).Hint("rename it")
	case len(path) > filetree.MaxPath:
		return fault.New(fault.Usage, "the path is longer than %d bytes", filetree.MaxPath).Hint("use shorter names")
	case strings.Count(path, "/") >= filetree.MaxDepth:
		return fault.New(fault.Usage, "it lies below more than %d folders", filetree.MaxDepth-1).Hint("move it further up")
	default:
		return fault.Wrap(fault.Usage, err)
	}
}

// shown is a path in a form that can be shown and compared with others like it.
func shown(path string) string { return strings.ToValidUTF8(path, "\uFFFD") }

func (s *scanner) advance() (err error) {
	s.next, s.more, err = s.cursor.next()
	return err
}

func (s *scanner) problem(path string, err error) {
	s.problems[path] = true
	s.f.progress.problem(partScan, path, err)
}

// unreadable leaves everything at path as it was.
func (s *scanner) unreadable(path string, err error) error {
	s.problem(path, err)
	return s.skip(path)
}

// skip passes over what the index has at path and below, and over nothing else.
func (s *scanner) skip(path string) error {
	if err := s.upTo(path); err != nil {
		return err
	}
	for s.more && below(s.next.path, path) {
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets what the index has at path and below: it is ignored now.
func (s *scanner) drop(path string) error {
	if err := s.upTo(path); err != nil {
		return err
	}
	for s.more && below(s.next.path, path) {
		s.ignored = append(s.ignored, s.next.path)
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

// upTo notes that all in the index before path is gone.
func (s *scanner) upTo(path string) error {
	for s.more && compare(s.next.path, path) < 0 {
		s.gone(s.next)
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) gone(r record) {
	if s.rules.ignored(r.path, r.kind == kindDir) {
		s.ignored = append(s.ignored, r.path)
		return
	}
	s.edits = append(s.edits, edit{found: found{path: r.path}, old: r, known: true})
}

// dir looks at what is in a folder.
func (s *scanner) dir(ctx context.Context, path, local string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	name := s.f.join(local)
	s.watch.add(name)
	list, err := readDir(name)
	switch {
	case path == "" && err != nil:
		return fmt.Errorf("%w: %w", errRoot, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return s.unreadable(path, err)
	}
	if len(list) == 0 && path != "" && path == s.implied {
		s.emptied = append(s.emptied, path)
	}
	for _, c := range s.children(list, path, local) {
		if s.f.outside(c.local) {
			if err := s.skip(c.path); err != nil {
				return err
			}
			continue
		}
		if s.rules.ignoredHere(c.path, c.entry.IsDir()) {
			if err := s.drop(c.path); err != nil {
				return err
			}
			continue
		}
		info, err := c.entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if err := s.unreadable(c.path, err); err != nil {
				return err
			}
			continue
		}
		if err := s.visit(ctx, c.path, c.local, info); err != nil {
			return err
		}
	}
	return nil
}

type child struct {
	path, local string
	entry       fs.DirEntry
}

// children returns what belongs to the folder, in the order of the index.
func (s *scanner) children(list []fs.DirEntry, path, local string) []child {
	children := make([]child, 0, len(list))
	for _, d := range list {
		name := d.Name()
		if isOurs(name) {
			if isTemporary(name) || isKept(name) {
				s.f.leftover(join(local, name))
			}
			continue
		}
		c := child{path: join(path, s.f.treeName(path, name)), local: join(local, name), entry: d}
		if err := unfit(c.path); err != nil {
			s.problem(shown(c.path), err)
			continue
		}
		children = append(children, c)
	}
	slices.SortFunc(children, func(a, b child) int { return compare(a.path, b.path) })
	return children
}

// visit compares one thing on disk with the index.
func (s *scanner) visit(ctx context.Context, path, local string, info fs.FileInfo) error {
	kind := kindOf(info.Mode())
	if kind == 0 {
		return s.unreadable(path, fault.New(fault.Usage, "%s is not kept in sync", special(info.Mode())))
	}
	st, on := statOf(info)
	if kind == kindDir && on != s.device {
		return s.unreadable(path, fault.New(fault.Usage, "another disk is mounted here; it is not kept in sync").
			Hint("sync it as a folder of its own, or list it in %s", IgnoreFile))
	}
	if err := s.upTo(path); err != nil {
		return err
	}
	here := found{path: path, local: local, kind: kind, stat: st}
	known := s.more && s.next.path == path
	var old record
	if known {
		old = s.next
		if err := s.advance(); err != nil {
			return err
		}
	}
	if kind != kindDir {
		s.files++
	}
	if !known && !s.f.opts.Selection.covers(path, kind == kindDir, st.size) {
		switch {
		case kind == kindFile && s.f.opts.Selection.covers(path, false, 0):
			s.problem(path, fault.New(fault.Usage, "the file is larger than those that are kept in this folder; it stays here only"))
		case kind != kindDir:
			s.problem(path, fault.New(fault.Usage, "the folder that this is in is not selected; it stays here only").Hint("select the folder, or move the file to one that is"))
		default:
			return s.dir(ctx, path, local)
		}
		return nil
	}
	if !known || !old.same(kind, st) {
		s.edits = append(s.edits, edit{found: here, old: old, known: known})
	}
	if kind == kindDir {
		if known && old.kind == kindDir && old.version == (filetree.Version{}) {
			s.implied = path
		}
		return s.dir(ctx, path, local)
	}
	return nil
}

func kindOf(mode fs.FileMode) filetree.Kind {
	switch mode.Type() {
	case 0:
		return kindFile
	case fs.ModeDir:
		return kindDir
	case fs.ModeSymlink:
		return kindSymlink
	}
	return 0
}

// special says what a file is that cannot be kept in sync.
func special(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a file of unknown kind"
}

// readDir reads a folder that is no link.
func readDir(name string) ([]fs.DirEntry, error) {
	h, err := os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.ReadDir(-1)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// join returns the operating system's name of a local path.
func (f *Folder) join(local string) string { return filepath.Join(f.root, filepath.FromSlash(local)) }

// targetHash is the hash of a symlink in the index.
func targetHash(target string) hypercrypto.Hash { return hypercrypto.Sum([]byte(target)) }
