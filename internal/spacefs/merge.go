package spacefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tradle/cloudpal/internal/digest"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/filetree/diff3"
)

// merge settles conflicts of plain texts that were edited in different places. The
// device that wrote the copy does it at once, others if it has not for a while: the
// result is the same, and a conflict that is settled already stays so.
func (f *Files) merge(ctx context.Context) error {
	v, release := f.View()
	defer release()
	n, err := v.Count(ctx)
	if err != nil || n.Conflicts == 0 {
		return err
	}
	self, err := f.self(ctx)
	if err != nil || !f.writable(ctx) {
		return err
	}
	var list []filetree.Conflict
	for c, err := range v.Conflicts(ctx) {
		if err != nil {
			return err
		}
		if c.Merger(self.Key) || time.Since(c.Copy.Written) > f.opts.MergeWait {
			list = append(list, c)
		}
	}
	var errs []error
	for i := range list {
		if err := f.mergeOne(ctx, v, &list[i]); err != nil {
			errs = append(errs, fmt.Errorf("merge %q: %w", list[i].Of, err))
		}
	}
	return errors.Join(errs...)
}

// writable tells whether this device may write.
func (f *Files) writable(ctx context.Context) bool {
	st, err := f.space.Status(ctx)
	return err == nil && st.Err == nil && st.Writable
}

// mergeOne settles a conflict if its sides merge.
func (f *Files) mergeOne(ctx context.Context, v *filetree.View, c *filetree.Conflict) error {
	ours := c.Original
	if ours == nil || !mergeable(*ours) || !mergeable(c.Copy) {
		return nil
	}
	if f.tried.has(ours.Version, c.Copy.Version) {
		return nil
	}
	base, ok, err := v.CommonAncestor(ctx, *ours, c.Copy)
	if err != nil || !ok || !mergeable(base.Entry) {
		return err
	}
	var texts [3][]byte
	for i, e := range []filetree.Entry{base.Entry, *ours, c.Copy} {
		if texts[i], err = f.text(ctx, e); err != nil {
			return err
		}
	}
	merged, ok := diff3.Merge(texts[0], texts[1], texts[2])
	if !ok {
		f.tried.add(ours.Version, c.Copy.Version)
		return nil
	}
	refs, err := f.StoreBatch(ctx, []Small{{Data: merged, Hash: digest.Sum(merged)}})
	if err != nil {
		return err
	}
	it := ours.Item
	if it.Mode == base.Mode {
		it.Mode = c.Copy.Mode
	}
	if c.Copy.Modified.After(it.Modified) {
		it.Modified = c.Copy.Modified
	}
	it.Size, it.Hash, it.Content = refs[0].Size, refs[0].Hash, refs[0].Encode()
	_, err = f.Commit(ctx, []filetree.Change{c.Settle(it)})
	return err
}

func mergeable(e filetree.Entry) bool { return e.Kind == filetree.File && e.Size <= diff3.MaxText }

// textWait is how long a merge waits for contents that only others have.
const textWait = time.Minute

// text returns a small content.
func (f *Files) text(ctx context.Context, e filetree.Entry) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, textWait)
	defer cancel()
	r, err := f.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// maxTried bounds what is remembered.
const maxTried = 10_000

// tried are pairs of versions that do not merge. It belongs to the merging goroutine.
type tried map[[2]filetree.Version]struct{}

func (t tried) has(a, b filetree.Version) bool {
	_, ok := t[[2]filetree.Version{a, b}]
	return ok
}

func (t *tried) add(a, b filetree.Version) {
	if *t == nil || len(*t) >= maxTried {
		*t = make(tried)
	}
	(*t)[[2]filetree.Version{a, b}] = struct{}{}
}
