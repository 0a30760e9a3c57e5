package hyperdrive

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrLinks is the error of a path that leads through too many links, as a loop
// of them does.
var ErrLinks = errors.New("hyperdrive: too many links")

// maxLinks bounds how many links one path may lead through.
const maxLinks = 40

// Follow returns the entry that path leads to, following links as a file system
// does whose root is the drive: the target of a relative link starts from the
// folder that holds the link, ".." at the root stays there, and folders on the
// way may be links too.
//
// The JavaScript module starts from the link's own path instead, as if it were a
// folder, so relative links that it resolves may lead elsewhere here. On a disk
// they lead where they lead here.
func (v *View) Follow(ctx context.Context, path string) (*Entry, error) {
	clean, err := Clean(path)
	if err != nil {
		return nil, err
	}
	e, _, err := v.walk(ctx, clean, true)
	if err == nil && e == nil {
		err = fmt.Errorf("%w: %s is a folder", ErrNotFound, clean)
	}
	return e, err
}

// walk resolves a clean path. It returns the entry, or nil and the clean path of
// a folder ("" for the root). A link at the end is followed only if last is set.
func (v *View) walk(ctx context.Context, path string, last bool) (*Entry, string, error) {
	links := 0
	for {
		e, folder, err := v.direct(ctx, path)
		if err == nil && (e == nil || !e.IsLink() || !last) {
			return e, folder, nil
		}
		at, rest := path, ""
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				return nil, "", err
			}
			// A folder on the way may be a link.
			var linkErr error
			if e, at, rest, linkErr = v.linkAbove(ctx, path); linkErr != nil {
				return nil, "", linkErr
			}
			if e == nil {
				return nil, "", err
			}
		}
		if links++; links > maxLinks {
			return nil, "", fmt.Errorf("%w: %s", ErrLinks, path)
		}
		if path = followLink(at, e.Linkname) + rest; path == "" {
			return nil, "", nil
		}
		if len(path) > 64<<10 {
			return nil, "", fmt.Errorf("%w: path grows to %d bytes", ErrLinks, len(path))
		}
	}
}

// direct looks path up without following links.
func (v *View) direct(ctx context.Context, path string) (*Entry, string, error) {
	e, err := v.entry(ctx, path)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return e, path, err
	}
	isFolder, folderErr := v.IsFolder(ctx, path)
	if folderErr != nil {
		return nil, "", folderErr
	}
	if isFolder {
		return nil, path, nil
	}
	return nil, "", err
}

// linkAbove returns the outermost folder on the way to path that is a link, its
// path, and what follows it.
func (v *View) linkAbove(ctx context.Context, path string) (e *Entry, at, rest string, err error) {
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		e, err := v.entry(ctx, path[:i])
		switch {
		case err == nil && e.IsLink():
			return e, path[:i], path[i:], nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return nil, "", "", err
		}
	}
	return nil, "", "", nil
}

// followLink returns the clean path that a link at path leads to, "" for the
// root.
func followLink(path, target string) string {
	names, absolute := splitPath(target)
	p := ""
	if !absolute {
		p = path[:strings.LastIndexByte(path, '/')]
	}
	for _, name := range names {
		switch name {
		case "", ".":
		case "..":
			p = p[:max(strings.LastIndexByte(p, '/'), 0)]
		default:
			p += "/" + name
		}
	}
	return p
}
