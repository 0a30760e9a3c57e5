package spacefs

import (
	"context"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// listWait is how long freeing waits for lists of parts that only others have.
const listWait = 2 * time.Minute

// free clears the blocks of contents that nothing names any more, once the order of the
// operation that released them is final.
func (f *Files) free(ctx context.Context) error {
	f.fresh.forget()
	v, release := f.View()
	defer release()
	if err := f.sweep(ctx, v); err != nil {
		return err
	}
	n, err := v.Count(ctx)
	if err != nil || n.Garbage == 0 {
		return err
	}
	final, err := f.final(ctx)
	if err != nil || f.looked == [2]uint64{n.Garbage, final} {
		return err
	}
	var drop, keep []content.Ref
	for g, err := range v.Garbage(ctx, 0) {
		if err != nil {
			return err
		}
		for _, ref := range decodeAll(g) {
			if g.Seq > final {
				keep = append(keep, ref)
				continue
			}
			held, _, err := f.store.Has(ctx, ref)
			if err != nil && !unusable(err) {
				return err
			}
			if held > 0 {
				drop = append(drop, ref)
			}
		}
	}
	if drop = f.withoutFreed(drop); len(drop) == 0 {
		f.looked = [2]uint64{n.Garbage, final}
		return nil
	}
	blocks, err := f.needed(ctx, v, keep)
	if err != nil {
		return fmt.Errorf("free content: %w", err)
	}
	if err := f.store.Clear(ctx, drop, blocks); err != nil {
		return fmt.Errorf("free content: %w", err)
	}
	f.noteFreed(drop)
	return nil
}

func decodeAll(r filetree.Released) (refs []content.Ref) {
	for _, b := range r.Contents {
		if ref, err := content.Decode(r.Hash, b); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// needed returns the blocks that must stay.
func (f *Files) needed(ctx context.Context, v *filetree.View, more []content.Ref) (*content.Blocks, error) {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	blocks := new(content.Blocks)
	add := func(ref content.Ref) error {
		if err := blocks.Add(ctx, f.store, ref); err != nil && !unusable(err) {
			return err
		}
		return nil
	}
	fresh, err := f.fresh.refs()
	if err != nil {
		return nil, err
	}
	for _, ref := range append(more, fresh...) {
		if err := add(ref); err != nil {
			return nil, err
		}
	}
	for live, err := range v.Live(ctx) {
		if err != nil {
			return nil, err
		}
		for _, ref := range decodeAll(live) {
			if err := add(ref); err != nil {
				return nil, err
			}
		}
	}
	return blocks, nil
}

// named returns the blocks of all contents that the space knows, also those that were
// released.
func (f *Files) named(ctx context.Context, v *filetree.View) (*content.Blocks, error) {
	var garbage []content.Ref
	for g, err := range v.Garbage(ctx, 0) {
		if err != nil {
			return nil, err
		}
		garbage = append(garbage, decodeAll(g)...)
	}
	return f.needed(ctx, v, garbage)
}

// withoutFreed leaves out what was cleared already: what is still held of it belongs to
// other contents too, unless one of those was released since.
func (f *Files) withoutFreed(refs []content.Ref) []content.Ref {
	for _, ref := range refs {
		if _, ok := f.freed[ref.Hash]; !ok {
			return refs
		}
	}
	return nil
}

func (f *Files) noteFreed(refs []content.Ref) {
	f.freed = make(map[[32]byte]struct{}, len(refs))
	for _, ref := range refs {
		f.freed[ref.Hash] = struct{}{}
	}
}

// sweep clears what earlier runs left in the own log and belongs to no content that the
// space knows: what was stored for operations that were never written.
func (f *Files) sweep(ctx context.Context, v *filetree.View) error {
	if f.swept {
		return nil
	}
	blocks, err := f.named(ctx, v)
	if err != nil {
		return fmt.Errorf("look for unused content: %w", err)
	}
	for _, run := range f.store.Unused(blocks, f.began) {
		if err := f.space.BlobLog().Clear(ctx, run.Start, run.End); err != nil {
			return fmt.Errorf("free unused content: %w", err)
		}
	}
	f.swept = true
	return nil
}
