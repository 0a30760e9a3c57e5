package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/internal/fault"
)

// Entry is a file, link or folder of a drive.
type Entry struct {
	Path       string
	Folder     bool
	Size       uint64
	Executable bool
	Linkname   string
	Modified   time.Time
}

// List yields what is at the reading's path: a file or link itself, or what a
// folder holds. recursive lists all files and links below instead.
func (r *Reading) List(recursive bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := r.list(recursive, func(e Entry) bool { return yield(e, nil) })
		if err != nil {
			yield(Entry{}, explain(r.ctx, err))
		}
	}
}

func (r *Reading) list(recursive bool, yield func(Entry) bool) error {
	path := r.Place.Path
	if path != "" {
		e, err := r.View.Entry(r.ctx, path)
		if err == nil {
			entry, err := r.describe(e)
			if err == nil {
				yield(entry)
			}
			return err
		}
		if !errors.Is(err, hyperdrive.ErrNotFound) {
			return err
		}
		if err := r.mustBeFolder(); err != nil {
			return err
		}
	}
	if recursive {
		for e, err := range r.View.List(r.ctx, path) {
			if err != nil {
				return err
			}
			entry, err := r.describe(e)
			if err != nil || !yield(entry) {
				return err
			}
		}
		return nil
	}
	for d, err := range r.View.ReadDir(r.ctx, path) {
		if err != nil {
			return err
		}
		entry := Entry{Path: path + "/" + d.Name, Folder: true}
		if !d.IsDir() {
			if entry, err = r.describe(d.Entry); err != nil {
				return err
			}
		}
		if !yield(entry) {
			return nil
		}
	}
	return nil
}

func (r *Reading) mustBeFolder() error {
	ok, err := r.View.IsFolder(r.ctx, r.Place.Path)
	if err == nil && !ok {
		err = r.missing()
	}
	return err
}

// missing says that the reading's path is not there.
func (r *Reading) missing() error {
	return fault.New(fault.NotFound, "there is no %s in version %d of the drive", r.Place.Path, r.View.Version()).
		Hint("see what it holds: cloudpal ls %s", fault.Word(r.Place.shortRef()))
}

// shortRef names the drive in a hint.
func (p Place) shortRef() string {
	if p.Record.Name != "" {
		return p.Record.Name
	}
	return p.Record.Link
}

func (r *Reading) describe(e *hyperdrive.Entry) (Entry, error) {
	size, err := r.View.Size(r.ctx, e)
	if err != nil {
		return Entry{}, fmt.Errorf("size of %s: %w", e.Path, err)
	}
	return Entry{Path: e.Path, Size: size, Executable: e.Executable, Linkname: e.Linkname, Modified: e.ModTime()}, nil
}

// File opens the content of the reading's path, following links.
func (r *Reading) File() (fs.File, fs.FileInfo, error) {
	if r.Place.Path == "" {
		return nil, nil, notAFile("the drive itself", r.Place)
	}
	files := r.View.FS(r.ctx)
	name := r.Place.Path[1:]
	info, err := files.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if e, err := r.View.Entry(r.ctx, r.Place.Path); err == nil && e.IsLink() {
			return nil, nil, fault.New(fault.NotFound, "%s is a symbolic link to %s, which is not in the drive", r.Place.Path, e.Linkname)
		}
		return nil, nil, r.missing()
	}
	if err != nil {
		return nil, nil, explain(r.ctx, err)
	}
	if info.IsDir() {
		return nil, nil, notAFile(r.Place.Path, r.Place)
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, nil, explain(r.ctx, err)
	}
	return f, info, nil
}

func notAFile(what string, p Place) error {
	return fault.New(fault.Usage, "%s is a folder; only files have content", what).
		Hint("see what it holds: cloudpal ls %s", fault.Word(p.shortRef()+p.Path))
}

// Explain gives an error of a read through View its kind.
func Explain(ctx context.Context, err error) error { return explain(ctx, err) }
