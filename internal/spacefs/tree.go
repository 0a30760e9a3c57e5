package spacefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/foldersync"
)

// Tree is the files as a folder is kept equal to.
type Tree struct {
	f       *Files
	changed chan struct{}
}

var _ foldersync.Tree = (*Tree)(nil)

// Tree returns the files for one folder on disk. Close it.
func (f *Files) Tree() *Tree {
	t := &Tree{f, make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trees[t] = struct{}{}
	return t
}

// Close ends the notices of changes.
func (t *Tree) Close() {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	delete(t.f.trees, t)
}

func (t *Tree) notify() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Changed implements [foldersync.Tree].
func (t *Tree) Changed() <-chan struct{} { return t.changed }

// Walk implements [foldersync.Tree].
func (t *Tree) Walk(ctx context.Context) iter.Seq2[filetree.Entry, error] {
	return func(yield func(filetree.Entry, error) bool) {
		v, release := t.f.View()
		defer release()
		v.Walk(ctx, "")(yield)
	}
}

// Lookup implements [foldersync.Tree].
func (t *Tree) Lookup(ctx context.Context, path string) (filetree.Entry, bool, error) {
	v, release := t.f.View()
	defer release()
	return v.Lookup(ctx, path)
}

// Commit implements [foldersync.Tree].
func (t *Tree) Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error) {
	return t.f.Commit(ctx, changes)
}

// Void implements [foldersync.Tree].
func (t *Tree) Void(ctx context.Context, at map[filetree.Version]string) (map[filetree.Version]bool, error) {
	v, release := t.f.View()
	defer release()
	return v.Void(ctx, at)
}

// Store implements [foldersync.Tree].
func (t *Tree) Store(ctx context.Context, r io.Reader, prev []byte) (foldersync.Content, error) {
	w, err := t.f.Store(ctx, r, prev)
	if err != nil {
		return foldersync.Content{}, err
	}
	return foldersync.Content{Ref: w.Ref.Encode(), Hash: w.Ref.Hash, Size: w.Ref.Size}, nil
}

// StoreBatch implements [foldersync.Tree].
func (t *Tree) StoreBatch(ctx context.Context, data []foldersync.Small) ([][]byte, error) {
	list := make([]Small, len(data))
	for i, s := range data {
		list[i] = Small(s)
	}
	refs, err := t.f.StoreBatch(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(refs))
	for i, ref := range refs {
		out[i] = ref.Encode()
	}
	return out, nil
}

// Find implements [foldersync.Tree].
func (t *Tree) Find(ctx context.Context, hash hypercrypto.Hash, size uint64) ([]byte, bool, error) {
	ref, ok, err := t.f.Find(ctx, hash, size)
	if err != nil || !ok {
		return nil, false, err
	}
	return ref.Encode(), true, nil
}

// Open implements [foldersync.Tree].
func (t *Tree) Open(ctx context.Context, e filetree.Entry) (foldersync.Reader, error) {
	r, err := t.f.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	return treeReader{r}, nil
}

// treeReader has the errors that [foldersync.Tree] promises.
type treeReader struct{ *Reader }

func (r treeReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	return n, ofTree(err)
}

func (r treeReader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.Reader.WriteTo(w)
	return n, ofTree(err)
}

func ofTree(err error) error {
	if errors.Is(err, content.ErrMismatch) || unusable(err) {
		return fmt.Errorf("%w: %w", foldersync.ErrContent, err)
	}
	return err
}

// Fetch implements [foldersync.Tree]. It sets the Content of the entries to the place of
// which most is held.
func (t *Tree) Fetch(ctx context.Context, entries []*filetree.Entry) (stop func()) {
	v, release := t.f.View()
	defer release()
	refs := make([]content.Ref, 0, len(entries))
	for _, e := range entries {
		if _, here := t.f.here(ctx, *e); here {
			continue
		}
		list, err := t.f.places(ctx, v, e.Hash, e.Size, e.Content)
		if err != nil || len(list) == 0 {
			continue // it shows when it is opened
		}
		e.Content = list[0].Encode()
		if !list[0].whole() {
			refs = append(refs, list[0].Ref)
		}
	}
	return t.f.store.Order(ctx, refs)
}

// Follow implements [foldersync.Tree].
func (t *Tree) Follow(ctx context.Context) { t.f.Follow(ctx) }
