package files

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/tradle/cloudpal/internal/files/ignore"
)

// IgnoreFile is the name of the file at the root of a shared folder that holds
// patterns of what stays out.
const IgnoreFile = ignore.File

// filter decides what of a path belongs to its drive.
type filter struct {
	root   string // the shared path
	folder bool
	home   string // the data folder, if it lies below root, in the form of drives
	list   *ignore.List
}

func (s *Share) filter() (*filter, error) {
	list, err := ignoreList(s.Record.Path, s.Record.Ignore)
	if err != nil {
		return nil, err
	}
	f := &filter{root: s.Record.Path, folder: !isFile(s.Record.Path), list: list}
	if rel, err := filepath.Rel(f.root, s.l.opts.Home); err == nil && s.l.opts.Home != "" && filepath.IsLocal(rel) {
		f.home = "/" + filepath.ToSlash(rel)
	}
	return f, nil
}

// ignoreList returns what stays out of a shared path. Of a single file nothing does.
func ignoreList(root string, patterns []string) (*ignore.List, error) {
	if isFile(root) {
		return &ignore.List{}, nil
	}
	return ignore.Load(root, ignore.Defaults, patterns)
}

// ignore tells whether a path of the drive stays out.
func (f *filter) ignore(path string) bool {
	if f.home != "" && (path == f.home || strings.HasPrefix(path, f.home+"/")) {
		return true
	}
	return f.list.MatchPath(path, func() bool {
		info, err := os.Lstat(filepath.Join(f.root, filepath.FromSlash(path)))
		return err == nil && info.IsDir()
	})
}

// walk yields what belongs to the drive, folders first and included, by path in
// the form of drives; "" is the root. What cannot be read is left out.
func (f *filter) walk(ctx context.Context) iter.Seq2[string, fs.FileInfo] { return f.walkFrom(ctx, "") }

func (f *filter) walkFrom(ctx context.Context, start string) iter.Seq2[string, fs.FileInfo] {
	return func(yield func(string, fs.FileInfo) bool) {
		root := filepath.Join(f.root, filepath.FromSlash(start))
		stop := errors.New("stop")
		_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return stop
			}
			if err != nil {
				return nil
			}
			rel, err := filepath.Rel(f.root, name)
			if err != nil {
				return nil
			}
			path := ""
			if rel != "." {
				path = "/" + filepath.ToSlash(rel)
				if f.ignore(path) {
					if d.IsDir() {
						return fs.SkipDir
					}
					return nil
				}
			}
			info, err := d.Info()
			if err == nil && !yield(path, info) {
				return stop
			}
			return nil
		})
	}
}
