//go:build !linux

package foldersync

import (
	"io/fs"
	"os"
	"time"

	"github.com/tradle/cloudpal/internal/filetree"
)

// lstat returns what is at a name, which is one part of a path.
func (p *place) lstat(name string) (filetree.Kind, stat, error) {
	info, err := p.root.Lstat(name)
	if err != nil {
		return 0, stat{}, err
	}
	s, _ := statOf(info)
	return kindOf(info.Mode()), s, nil
}

// create makes a file, which nothing may be at the name of, and opens it for writing.
func (p *place) create(name string, mode fs.FileMode) (*os.File, error) {
	return p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
}

// setTime sets when a file was modified.
func (p *place) setTime(name string, t time.Time) error {
	return p.root.Chtimes(name, time.Time{}, t)
}
