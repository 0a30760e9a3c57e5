package hyperdrive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// DirEntry is a name directly below a folder.
type DirEntry struct {
	Name string
	// Entry is the file or link; nil for a folder.
	Entry *Entry
}

// IsDir tells whether the name is a folder.
func (d DirEntry) IsDir() bool { return d.Entry == nil }

// ReadDir yields the names directly below folder: the first parts of the paths
// below it, in the byte order of the first path of each. A name that is both a
// file and a folder comes once, as the file. Names that no file system could
// hold are left out.
func (v *View) ReadDir(ctx context.Context, folder string) iter.Seq2[DirEntry, error] {
	return func(yield func(DirEntry, error) bool) {
		clean, err := CleanFolder(folder)
		if err != nil {
			yield(DirEntry{}, err)
			return
		}
		if err := v.readDir(ctx, clean, func(d DirEntry) bool { return yield(d, nil) }); err != nil {
			yield(DirEntry{}, fmt.Errorf("read folder %s/: %w", clean, err))
		}
	}
}

func (v *View) readDir(ctx context.Context, folder string, yield func(DirEntry) bool) error {
	after, before := folderRange(folder)
	next := hyperbee.Range{GT: after, LT: before}
	// files are the names already seen that the current one begins with: only
	// they can come again, as folders.
	var files []string
	for {
		skipTo := ""
		for stored, err := range v.tree.Entries(ctx, next) {
			if err != nil {
				return err
			}
			path, _ := pathOf(stored.Key)
			name, _, deeper := strings.Cut(path[len(folder)+1:], "/")
			for len(files) > 0 && !strings.HasPrefix(name, files[len(files)-1]) {
				files = files[:len(files)-1]
			}
			d := DirEntry{Name: name}
			if deeper {
				skipTo = folder + "/" + name
				if len(files) > 0 && files[len(files)-1] == name {
					break
				}
			} else {
				files = append(files, name)
				if d.Entry, err = entryOf(stored, path); err != nil {
					return err
				}
			}
			if validName(name) && !yield(d) {
				return nil
			}
			if deeper {
				break
			}
		}
		if skipTo == "" {
			return nil
		}
		// What follows "name/" with all that is below it begins with "name0".
		_, end := folderRange(skipTo)
		next = hyperbee.Range{GTE: end, LT: before}
	}
}

// validName tells whether a part of a path can be a name in a file system.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && strings.IndexByte(name, 0) < 0 && strings.IndexByte(name, '\\') < 0
}

// ValidPath tells whether path is one that Clean returns: drives of other
// writers can contain others, which no file system should see.
func ValidPath(path string) bool {
	if len(path) < 2 || path[0] != '/' {
		return false
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if !validName(name) {
			return false
		}
	}
	return true
}

// IsFolder tells whether anything lies below path. The root is always a folder.
func (v *View) IsFolder(ctx context.Context, path string) (bool, error) {
	clean, err := CleanFolder(path)
	if err != nil || clean == "" {
		return err == nil, err
	}
	after, before := folderRange(clean)
	_, ok, err := v.tree.Peek(ctx, hyperbee.Range{GT: after, LT: before})
	if err != nil {
		return false, fmt.Errorf("look below %s: %w", clean, err)
	}
	return ok, nil
}

// Subtree yields the entry at path, if there is one, and all below it.
func (v *View) Subtree(ctx context.Context, path string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		clean, err := CleanFolder(path)
		if err == nil && clean != "" {
			var e *Entry
			e, err = v.entry(ctx, clean)
			if err == nil && !yield(e, nil) {
				return
			}
			if errors.Is(err, ErrNotFound) {
				err = nil
			}
		}
		if err != nil {
			yield(nil, err)
			return
		}
		v.List(ctx, clean)(yield)
	}
}

// notHeld turns the error of a block that is not held into none.
func notHeld(err error) error {
	if errors.Is(err, hypercore.ErrNotAvailable) {
		return nil
	}
	return err
}
