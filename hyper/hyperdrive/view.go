package hyperdrive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// ErrNotFound is the error of a path that has no entry.
var ErrNotFound = errors.New("hyperdrive: no such file")

// View reads a drive: one version of it, or, as part of a [Drive], the newest at
// each call. It is safe for concurrent use. Reading waits for blocks that have to
// come from peers, as long as the context allows.
type View struct {
	d     *Drive
	tree  *hyperbee.Tree
	local bool // reads never wait for peers
}

// Version returns the version that is read, 1 for an empty drive.
func (v *View) Version() uint64 { return v.tree.Version() }

// Drive returns the drive that v is a state of.
func (v *View) Drive() *Drive { return v.d }

// Close releases a View that Checkout, At or Snapshot returned.
func (v *View) Close() error { return v.tree.Close() }

// LocalOnly returns the same state with reads that fail with
// [hypercore.ErrNotAvailable] instead of waiting for peers. It is valid until v
// is closed.
func (v *View) LocalOnly() *View { return &View{d: v.d, tree: v.tree.LocalOnly(), local: true} }

// blobs returns the contents for reading.
func (v *View) blobs(ctx context.Context) (*hyperblobs.Blobs, error) {
	if !v.local {
		return v.d.Blobs(ctx)
	}
	if b := v.d.knownBlobs(); b != nil {
		return b.LocalOnly(), nil
	}
	return nil, fmt.Errorf("contents of drive: %w", hypercore.ErrNotAvailable)
}

// Entry returns the entry at path; [ErrNotFound] if there is none. Links are not
// followed.
func (v *View) Entry(ctx context.Context, path string) (*Entry, error) {
	clean, err := Clean(path)
	if err != nil {
		return nil, err
	}
	return v.entry(ctx, clean)
}

func (v *View) entry(ctx context.Context, clean string) (*Entry, error) {
	var buf [256]byte
	got, ok, err := v.tree.Get(ctx, appendKey(buf[:0], clean))
	if err != nil {
		return nil, fmt.Errorf("read entry of %s: %w", clean, err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, clean)
	}
	return entryOf(got, clean)
}

func entryOf(stored hyperbee.Entry, path string) (*Entry, error) {
	e := &Entry{Path: path, Seq: stored.Seq}
	if err := decodeEntry(stored.Value, e); err != nil {
		return nil, fmt.Errorf("entry of %q: %w", path, err)
	}
	return e, nil
}

// Exists tells whether path has an entry. Folders have none.
func (v *View) Exists(ctx context.Context, path string) (bool, error) {
	_, err := v.Entry(ctx, path)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Get returns the content of the file at path, following links. A file without
// blob is empty.
func (v *View) Get(ctx context.Context, path string) ([]byte, error) {
	e, err := v.Follow(ctx, path)
	if err != nil {
		return nil, err
	}
	return v.Content(ctx, e)
}

// Content returns the whole content of an entry.
func (v *View) Content(ctx context.Context, e *Entry) ([]byte, error) {
	if e.Blob == nil {
		return []byte{}, nil
	}
	blobs, err := v.blobs(ctx)
	if err != nil {
		return nil, err
	}
	data, err := blobs.Get(ctx, *e.Blob)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Path, err)
	}
	return data, nil
}

// Open returns a reader of the file at path, following links. ctx bounds all
// its reads.
func (v *View) Open(ctx context.Context, path string) (*hyperblobs.Reader, error) {
	e, err := v.Follow(ctx, path)
	if err != nil {
		return nil, err
	}
	return v.OpenEntry(ctx, e)
}

// OpenEntry returns a reader of the content of an entry. That of a link is
// empty.
func (v *View) OpenEntry(ctx context.Context, e *Entry) (*hyperblobs.Reader, error) {
	blobs, err := v.blobs(ctx)
	if err != nil {
		return nil, err
	}
	var id hyperblobs.ID
	if e.Blob != nil {
		id = *e.Blob
	}
	r, err := blobs.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", e.Path, err)
	}
	return r, nil
}

// WriteTo writes the content of the file at path to w and returns its length.
func (v *View) WriteTo(ctx context.Context, path string, w io.Writer) (int64, error) {
	r, err := v.Open(ctx, path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.WriteTo(w)
}

// Size returns the content length of an entry in bytes. For a mapped blob that
// can need the map, unless the writer noted the size.
func (v *View) Size(ctx context.Context, e *Entry) (uint64, error) {
	if e.Blob == nil {
		return 0, nil
	}
	if !e.Blob.BlockMap {
		return e.Blob.ByteLength, nil
	}
	if m := e.Meta(); m.HasSize {
		return m.Size, nil
	}
	blobs, err := v.blobs(ctx)
	if err != nil {
		return 0, err
	}
	n, err := blobs.Size(ctx, *e.Blob)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", e.Path, err)
	}
	return n, nil
}

// List yields all entries below folder, in the byte order of their paths. An
// entry that cannot be understood is the error that ends the sequence.
func (v *View) List(ctx context.Context, folder string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		clean, err := CleanFolder(folder)
		if err != nil {
			yield(nil, err)
			return
		}
		after, before := folderRange(clean)
		for stored, err := range v.tree.Entries(ctx, hyperbee.Range{GT: after, LT: before}) {
			if err != nil {
				yield(nil, fmt.Errorf("list %s/: %w", clean, err))
				return
			}
			path, _ := pathOf(stored.Key)
			e, err := entryOf(stored, path)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Difference is a path whose entry differs between two versions. New or Old is
// nil where one of them lacks the path.
type Difference struct {
	Path     string
	New, Old *Entry
}

// Diff yields what differs between v and old at path and below it, in byte order.
// An entry that was written again with the same content differs.
func (v *View) Diff(ctx context.Context, old *View, path string) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		clean, err := CleanFolder(path)
		if err == nil && clean != "" {
			d := Difference{Path: clean}
			if d.New, err = v.optional(ctx, clean); err == nil {
				d.Old, err = old.optional(ctx, clean)
			}
			if err == nil && !sameBlock(d.New, d.Old) && !yield(d, nil) {
				return
			}
		}
		if err != nil {
			yield(Difference{}, err)
			return
		}
		after, before := folderRange(clean)
		for diff, err := range v.tree.Diff(ctx, old.tree, hyperbee.Range{GT: after, LT: before}) {
			var d Difference
			if err == nil {
				d, err = differenceOf(diff)
			} else {
				err = fmt.Errorf("diff of %s/: %w", clean, err)
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// optional returns the entry at a clean path, nil if there is none.
func (v *View) optional(ctx context.Context, clean string) (*Entry, error) {
	e, err := v.entry(ctx, clean)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return e, err
}

func sameBlock(a, b *Entry) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Seq == b.Seq
}

func differenceOf(diff hyperbee.Difference) (d Difference, err error) {
	if diff.Left != nil {
		d.Path, _ = pathOf(diff.Left.Key)
		if d.New, err = entryOf(*diff.Left, d.Path); err != nil {
			return d, err
		}
	}
	if diff.Right != nil {
		d.Path, _ = pathOf(diff.Right.Key)
		d.Old, err = entryOf(*diff.Right, d.Path)
	}
	return d, err
}

// Has tells whether the content of path, or of everything below it if it is a
// folder, is held here. It never asks peers; names that are not held mean no.
func (v *View) Has(ctx context.Context, path string) (bool, error) {
	blobs, err := v.blobs(ctx)
	if err != nil {
		return false, err
	}
	found := false
	for e, err := range v.LocalOnly().Subtree(ctx, path) {
		if err != nil {
			return false, notHeld(err)
		}
		found = true
		if e.Blob != nil && !blobs.Has(ctx, *e.Blob) {
			return false, nil
		}
	}
	return found, nil
}
