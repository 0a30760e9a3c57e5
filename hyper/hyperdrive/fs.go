package hyperdrive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

// FS is a view as a read-only file system. It implements [fs.FS], [fs.ReadDirFS],
// [fs.ReadFileFS], [fs.StatFS] and [fs.ReadLinkFS]; its files are also
// [io.ReaderAt], [io.Seeker] and [io.WriterTo], so that ranges read only what
// they need. Links are followed within the drive; none can lead out of it. Names
// that are not UTF-8 or contain a backslash are not visible.
type FS struct {
	ctx context.Context // of all reads: io/fs has no room for one
	v   *View
}

// FS returns the view as a file system. ctx bounds all its reads. It is valid
// until v is closed.
func (v *View) FS(ctx context.Context) *FS { return &FS{ctx: ctx, v: v} }

var (
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

// find resolves a name to an entry, or nil and the path of a folder.
func (f *FS) find(op, name string, last bool) (*Entry, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return nil, "", nil
	}
	if strings.IndexByte(name, '\\') >= 0 {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	e, folder, err := f.v.walk(f.ctx, "/"+name, last)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			err = fs.ErrNotExist
		}
		return nil, "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return e, folder, nil
}

// Open opens a file or folder, following links.
func (f *FS) Open(name string) (fs.File, error) {
	e, folder, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return &openDir{fs: f, path: folder, info: folderInfo(baseName(name))}, nil
	}
	r, err := f.v.OpenEntry(f.ctx, e)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{Reader: r, info: entryInfo(baseName(name), e, r.Size())}, nil
}

// Stat describes a file or folder, following links.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name, true) }

// Lstat describes a file, folder or link.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name, false) }

func (f *FS) stat(op, name string, last bool) (fs.FileInfo, error) {
	e, _, err := f.find(op, name, last)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return folderInfo(baseName(name)), nil
	}
	info, err := f.info(baseName(name), e)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return info, nil
}

func (f *FS) info(name string, e *Entry) (fs.FileInfo, error) {
	size, err := f.v.Size(f.ctx, e)
	if err != nil {
		return nil, err
	}
	return entryInfo(name, e, int64(size)), nil
}

// ReadLink returns the target of a link as it is stored.
func (f *FS) ReadLink(name string) (string, error) {
	e, _, err := f.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if e == nil || !e.IsLink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return e.Linkname, nil
}

// ReadFile returns the content of a file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	e, _, err := f.find("readfile", name, true)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, &fs.PathError{Op: "readfile", Path: name, Err: errors.New("is a directory")}
	}
	data, err := f.v.Content(f.ctx, e)
	if err != nil {
		return nil, &fs.PathError{Op: "readfile", Path: name, Err: err}
	}
	return data, nil
}

// ReadDir lists a folder, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, folder, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if e != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	list, err := f.list(folder)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return list, nil
}

func (f *FS) list(folder string) ([]fs.DirEntry, error) {
	list := []fs.DirEntry{}
	err := f.v.readDir(f.ctx, folder, func(d DirEntry) bool {
		if utf8.ValidString(d.Name) {
			list = append(list, &dirEntry{fs: f, d: d})
		}
		return true
	})
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

func baseName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// fileInfo describes a file, link or folder. Sys is the *Entry, nil for a folder.
type fileInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
	entry   *Entry
}

func folderInfo(name string) *fileInfo { return &fileInfo{name: name, mode: fs.ModeDir | 0o755} }

func entryInfo(name string, e *Entry, size int64) *fileInfo {
	return &fileInfo{name: name, size: size, mode: entryMode(e), modTime: e.ModTime(), entry: e}
}

func entryMode(e *Entry) fs.FileMode {
	switch {
	case e.IsLink():
		return fs.ModeSymlink | 0o777
	case e.Executable:
		return 0o755
	default:
		return 0o644
	}
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.mode }
func (i *fileInfo) ModTime() time.Time { return i.modTime }
func (i *fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i *fileInfo) String() string     { return fs.FormatFileInfo(i) }
func (i *fileInfo) Sys() any {
	if i.entry == nil {
		return nil
	}
	return i.entry
}

type dirEntry struct {
	fs *FS
	d  DirEntry
}

func (e *dirEntry) Name() string   { return e.d.Name }
func (e *dirEntry) IsDir() bool    { return e.d.IsDir() }
func (e *dirEntry) String() string { return fs.FormatDirEntry(e) }
func (e *dirEntry) Type() fs.FileMode {
	if e.d.IsDir() {
		return fs.ModeDir
	}
	return entryMode(e.d.Entry).Type()
}

func (e *dirEntry) Info() (fs.FileInfo, error) {
	if e.d.IsDir() {
		return folderInfo(e.d.Name), nil
	}
	return e.fs.info(e.d.Name, e.d.Entry)
}

type openFile struct {
	*hyperblobs.Reader
	info *fileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

type openDir struct {
	fs   *FS
	path string
	info *fileInfo
	read bool
	list []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		list, err := d.fs.list(d.path)
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: d.info.name, Err: err}
		}
		d.read, d.list = true, list
	}
	if n <= 0 {
		n = len(d.list)
	} else if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	out := d.list[:n:n]
	d.list = d.list[n:]
	return out, nil
}
