package spacefs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Store stores what r has until EOF, to be put into the tree. prev, if not nil, is a
// reference to a version before, with which large content shares what is equal.
// Content that is held here already is not stored again, and none that this device cannot put
// there: it would take space again with each try.
func (f *Files) Store(ctx context.Context, r io.Reader, prev []byte) (content.Written, error) {
	if err := f.space.MayWrite(); err != nil {
		return content.Written{}, err
	}
	o := content.WriteOptions{Known: f.known}
	if len(prev) > 0 {
		// Its hash is not known, and not needed.
		if ref, err := content.Decode(hypercrypto.Hash{}, prev); err == nil {
			o.Prev = &ref
		}
	}
	w, err := f.store.Write(ctx, r, &o)
	if err != nil {
		return w, err
	}
	f.verdicts.set(w.Ref.Hash, w.Ref.Encode(), true)
	if w.Stored < w.Ref.Size {
		f.fresh.add(w.Ref)
	}
	return w, nil
}

// known returns content that is held here.
func (f *Files) known(ctx context.Context, size uint64, hash hypercrypto.Hash) (content.Ref, bool) {
	ref, ok, err := f.Find(ctx, hash, size)
	return ref, ok && err == nil
}

// Find returns where content is, if all of it is held here and right.
func (f *Files) Find(ctx context.Context, hash hypercrypto.Hash, size uint64) (content.Ref, bool, error) {
	v, release := f.View()
	defer release()
	list, err := f.places(ctx, v, hash, size)
	if err != nil {
		return content.Ref{}, false, err
	}
	for _, p := range list {
		if !p.whole() {
			continue
		}
		ok, err := f.proven(ctx, p)
		if err != nil {
			return content.Ref{}, false, err
		}
		if ok {
			f.fresh.add(p.Ref)
			return p.Ref, true, nil
		}
	}
	return content.Ref{}, false, nil
}

// Small is a content in memory.
type Small struct {
	Data []byte
	Hash hypercrypto.Hash
}

// StoreBatch stores small contents with one append, except those that are held here
// already, and returns where each is. It stores nothing if this device may not write.
func (f *Files) StoreBatch(ctx context.Context, list []Small) ([]content.Ref, error) {
	if err := f.space.MayWrite(); err != nil {
		return nil, err
	}
	batch, err := f.store.Batch()
	if err != nil {
		return nil, err
	}
	refs := make([]content.Ref, len(list))
	var at []int // of what is in the batch
	for i, s := range list {
		ref, ok, err := f.Find(ctx, s.Hash, uint64(len(s.Data)))
		if err != nil {
			return nil, err
		}
		if ok {
			refs[i] = ref
			continue
		}
		batch.AddHashed(s.Data, s.Hash)
		at = append(at, i)
	}
	stored, err := batch.Flush(ctx)
	if err != nil {
		return nil, err
	}
	for i, ref := range stored {
		refs[at[i]] = ref
		f.verdicts.set(ref.Hash, ref.Encode(), true)
	}
	return refs, nil
}

// Reader reads the content of an entry; see [content.Reader].
type Reader struct {
	*content.Reader
	f    *Files
	hash hypercrypto.Hash
	ref  []byte
}

// Open reads the content of an entry, from peers if need be. If its bytes turn out to be
// wrong, another place is tried the next time. ctx bounds all reads.
func (f *Files) Open(ctx context.Context, e filetree.Entry) (*Reader, error) {
	if ref, here := f.here(ctx, e); here {
		if r, err := f.store.Open(ctx, ref); err == nil {
			return &Reader{r, f, e.Hash, e.Content}, nil
		}
	}
	v, release := f.View()
	defer release()
	list, err := f.places(ctx, v, e.Hash, e.Size, e.Content)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", e.Path, err)
	}
	failed := errNoContent()
	for _, p := range list {
		ref := p.Encode()
		r, err := f.store.Open(ctx, p.Ref)
		if err == nil {
			return &Reader{r, f, e.Hash, ref}, nil
		}
		if !unusable(err) {
			return nil, fmt.Errorf("open %q: %w", e.Path, err)
		}
		f.verdicts.set(e.Hash, ref, false)
		failed = err
	}
	return nil, fmt.Errorf("open %q: %w", e.Path, failed)
}

// here returns where an entry says that its content is, if all of it is held there.
func (f *Files) here(ctx context.Context, e filetree.Entry) (content.Ref, bool) {
	ref, err := content.Decode(e.Hash, e.Content)
	if err != nil || ref.Size != e.Size {
		return ref, false
	}
	if right, known := f.verdicts.get(e.Hash, e.Content); known && !right {
		return ref, false
	}
	held, _, err := f.store.Has(ctx, ref)
	return ref, err == nil && held == ref.Size
}

// judge remembers places whose bytes are wrong.
func (r *Reader) judge(err error) error {
	if errors.Is(err, content.ErrMismatch) || unusable(err) {
		r.f.verdicts.set(r.hash, r.ref, false)
	}
	return err
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	return n, r.judge(err)
}

// WriteTo implements [io.WriterTo].
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.Reader.WriteTo(w)
	return n, r.judge(err)
}
