package hyperdrive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

// PutOptions are the options of writing a file or link. Nil means the defaults.
type PutOptions struct {
	// Executable is the permission to run the file.
	Executable bool
	// Metadata is any value with a JSON form. The members "mtime", "at" and
	// "size" are replaced; see [Meta].
	Metadata any
	// ModTime is when the file was last modified. Default: when it is written.
	ModTime time.Time
}

// Put stores data as the content of the file at path. data may be reused
// afterwards. Large content shares the blocks of the file's previous content
// where they are equal.
func (d *Drive) Put(ctx context.Context, path string, data []byte, opts *PutOptions) error {
	if len(data) > hyperblobs.SmallSize {
		return d.PutFrom(ctx, path, bytes.NewReader(data), opts)
	}
	b := d.Batch()
	defer b.Close()
	if err := b.Put(ctx, path, data, opts); err != nil {
		return err
	}
	return b.Flush(ctx)
}

// PutFrom stores what r has until EOF as the content of the file at path.
func (d *Drive) PutFrom(ctx context.Context, path string, r io.Reader, opts *PutOptions) error {
	b := d.Batch()
	defer b.Close()
	if err := b.PutFrom(ctx, path, r, opts); err != nil {
		return err
	}
	return b.Flush(ctx)
}

// PutEntry writes an entry as it is, apart from its times: Path says where, Blob
// must be in this drive.
func (d *Drive) PutEntry(ctx context.Context, e *Entry) error {
	b := d.Batch()
	defer b.Close()
	if err := b.PutEntry(e); err != nil {
		return err
	}
	return b.Flush(ctx)
}

// Symlink makes a symbolic link at path. The target is stored as it is.
func (d *Drive) Symlink(ctx context.Context, path, target string, opts *PutOptions) error {
	b := d.Batch()
	defer b.Close()
	if err := b.Symlink(path, target, opts); err != nil {
		return err
	}
	return b.Flush(ctx)
}

// Del removes the entry at path. Its content stays in older versions. A path
// without entry is fine.
func (d *Drive) Del(ctx context.Context, path string) error {
	b := d.Batch()
	defer b.Close()
	if err := b.Del(path); err != nil {
		return err
	}
	return b.Flush(ctx)
}

// DelAll removes the entry at path and all below it, as one version. It returns
// how many entries that were.
func (d *Drive) DelAll(ctx context.Context, path string) (n int, err error) {
	b := d.Batch()
	defer b.Close()
	for e, err := range d.Subtree(ctx, path) {
		if err != nil && (e == nil || !errors.Is(err, ErrEntry)) {
			return 0, err
		}
		b.delKey(e.Path)
		n++
	}
	return n, b.Flush(ctx)
}

// Rename moves the entry at from, and all below it, to another path, as one
// version. Contents are not copied. What was at the destination is replaced, what
// was below it stays beside what comes.
func (d *Drive) Rename(ctx context.Context, from, to string) error {
	return d.relocate(ctx, from, to, true)
}

// Copy copies the entry at from, and all below it, as Rename does. Both share
// the contents.
func (d *Drive) Copy(ctx context.Context, from, to string) error {
	return d.relocate(ctx, from, to, false)
}

func (d *Drive) relocate(ctx context.Context, from, to string, remove bool) error {
	source, err := Clean(from)
	if err != nil {
		return err
	}
	target, err := cleanNew(to)
	if err != nil {
		return err
	}
	if source == target {
		return nil
	}
	b := d.Batch()
	defer b.Close()
	var moved []*Entry
	for e, err := range d.Subtree(ctx, source) {
		if err != nil {
			return err
		}
		moved = append(moved, e)
	}
	if len(moved) == 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, source)
	}
	if remove {
		for _, e := range moved {
			b.delKey(e.Path)
		}
	}
	for _, e := range moved {
		c := *e
		c.Path = target + e.Path[len(source):]
		if err := b.PutEntry(&c); err != nil {
			return err
		}
	}
	return b.Flush(ctx)
}

// Restore makes path, and all below it, what they are in an older view, as one
// new version. It returns how many entries changed.
func (d *Drive) Restore(ctx context.Context, old *View, path string) (n int, err error) {
	b := d.Batch()
	defer b.Close()
	for diff, err := range d.Diff(ctx, old, path) {
		switch now, then := diff.New, diff.Old; {
		case err != nil:
			return 0, err
		case then != nil && now != nil && sameEntry(then, now):
			continue
		case then == nil:
			b.delKey(now.Path)
		default:
			if err := b.PutEntry(then); err != nil {
				return 0, err
			}
		}
		n++
	}
	return n, b.Flush(ctx)
}

// sameEntry tells whether two entries say the same, apart from when they were
// written.
func sameEntry(a, b *Entry) bool {
	if a.Executable != b.Executable || a.Linkname != b.Linkname || (a.Blob == nil) != (b.Blob == nil) {
		return false
	}
	if a.Blob != nil && *a.Blob != *b.Blob {
		return false
	}
	return SameMetadata(a, b)
}

// Writer returns a writer of the file at path. The file changes when it is
// closed; until then, and after Abort, it is what it was. ctx bounds the whole
// write.
func (d *Drive) Writer(ctx context.Context, path string, opts *PutOptions) (*FileWriter, error) {
	b := d.Batch()
	e, base, blobs, err := b.prepare(ctx, path, opts)
	if err != nil {
		return nil, err
	}
	return &FileWriter{ctx: ctx, batch: b, entry: e, w: blobs.NewWriter(ctx, &hyperblobs.WriteOptions{Base: base})}, nil
}

// FileWriter writes one file. Close or Abort must be called.
type FileWriter struct {
	ctx   context.Context // of the whole write
	batch *Batch
	entry *Entry
	w     *hyperblobs.Writer
	done  bool
}

// Write adds p to the content.
func (f *FileWriter) Write(p []byte) (int, error) { return f.w.Write(p) }

// ReadFrom adds what r has until EOF to the content.
func (f *FileWriter) ReadFrom(r io.Reader) (int64, error) { return f.w.ReadFrom(r) }

// Close makes the content that of the file. It does nothing after Abort.
func (f *FileWriter) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	defer f.batch.Close()
	if err := f.w.Close(); err != nil {
		return fmt.Errorf("write %s: %w", f.entry.Path, err)
	}
	f.batch.putWritten(f.entry, f.w.Written())
	return f.batch.Flush(f.ctx)
}

// Abort gives the write up. It does nothing after Close.
func (f *FileWriter) Abort() {
	if !f.done {
		f.done = true
		f.w.Abort()
	}
}
