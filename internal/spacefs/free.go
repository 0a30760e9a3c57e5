package spacefs

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// listWait is how long freeing waits for lists of parts that only others have.
const listWait = 2 * time.Minute

// freed is what the freeing goroutine knows.
type freed struct {
	next    time.Time                            // when everything is looked at; zero: now
	others  map[hypercrypto.Key][]hyperblobs.Run // what was held of others' logs the last time
	to      uint64                               // the last final operation whose released contents were looked at
	garbage uint64                               // released contents then
	removed int                                  // devices then
}

// lookAgain is after how long everything is looked at though nothing was released: the state
// forgets what was released long ago, also while this device was away.
const lookAgain = day

// free clears the blocks of contents that nothing names any more, once the order of the
// operation that released them is final.
//
// The first time, an hour later, and once a day, it also clears what is held of all logs and
// belongs to no content that the space knows: what was stored for operations that were never
// written, and what was released while this device was not here. What others stored is
// cleared if it was held the time before: the operation that names it may be on its way.
func (f *Files) free(ctx context.Context) error {
	f.fresh.forget()
	d := &f.freed
	whole := time.Now().After(d.next)
	var own []hyperblobs.Run
	var others map[hypercrypto.Key][]hyperblobs.Run
	if whole { // before the state is looked at: what comes later is not known to be unused
		var err error
		if own, others, err = f.heldNow(ctx); err != nil {
			return fmt.Errorf("look at what is held: %w", err)
		}
	}
	v, release := f.View()
	defer release()
	n, err := v.Count(ctx)
	if err != nil {
		return err
	}
	final, err := f.final(ctx)
	if err != nil {
		return err
	}
	final = min(final, n.Ops) // the view may be older
	devices, err := f.space.Devices(ctx)
	if err != nil {
		return err
	}
	if final < d.to {
		d.to = 0
	}
	now := freed{next: d.next, others: d.others, to: final, garbage: n.Garbage}
	for _, x := range devices {
		if x.Removed {
			now.removed++
		}
	}
	drop, keep, err := f.garbage(ctx, v, d.to, final)
	if err != nil {
		return err
	}
	if !whole && len(drop) == 0 && n.Garbage >= d.garbage && now.removed == d.removed {
		d.garbage, d.to = n.Garbage, final
		return nil
	}
	if drop, err = f.heldOf(ctx, drop); err != nil {
		return err
	}
	needed, err := f.needed(ctx, v, keep)
	if err != nil {
		return fmt.Errorf("free content: %w", err)
	}
	if err := f.store.Clear(ctx, drop, needed); err != nil {
		return fmt.Errorf("free content: %w", err)
	}
	if whole {
		unnamed := maps.Clone(d.others)
		if unnamed == nil { // the first time
			now.next = time.Now().Add(followTime)
			unnamed = make(map[hypercrypto.Key][]hyperblobs.Run)
		} else {
			now.next = time.Now().Add(lookAgain)
		}
		unnamed[f.space.BlobLog().Key()] = own
		if err := f.sweep(ctx, unnamed, needed); err != nil {
			return err
		}
		now.others = others
	}
	if err := f.noteReleased(ctx, devices, needed); err != nil {
		return err
	}
	f.freed = now
	return nil
}

// garbage returns where released contents are: of operations behind one, up to the final
// one, and of those that are not final.
func (f *Files) garbage(ctx context.Context, v *filetree.View, after, final uint64) (drop, keep []content.Ref, err error) {
	for g, err := range v.Garbage(ctx, after) {
		if err != nil {
			return nil, nil, err
		}
		if refs := decodeAll(g); g.Seq > final {
			keep = append(keep, refs...)
		} else {
			drop = append(drop, refs...)
		}
	}
	return drop, keep, nil
}

// heldOf returns the contents of which something is held.
func (f *Files) heldOf(ctx context.Context, refs []content.Ref) (held []content.Ref, err error) {
	for _, ref := range refs {
		n, _, err := f.store.Has(ctx, ref)
		if err != nil && !unusable(err) {
			return nil, err
		}
		if n > 0 {
			held = append(held, ref)
		}
	}
	return held, nil
}

// sweep clears what is held and not needed.
func (f *Files) sweep(ctx context.Context, held map[hypercrypto.Key][]hyperblobs.Run, needed *content.Blocks) error {
	for key, runs := range held {
		unused := needed.Without(key, runs)
		if len(unused) == 0 {
			continue
		}
		core, err := f.blobLog(ctx, key)
		if err == nil {
			err = content.ClearRuns(ctx, core, unused)
		}
		if err != nil {
			return fmt.Errorf("free unused content: %w", err)
		}
	}
	return nil
}

// heldNow returns what is held of the own blob log, except what was stored in this run,
// which may belong to an operation that is not written yet, and of those of others.
func (f *Files) heldNow(ctx context.Context) (own []hyperblobs.Run, others map[hypercrypto.Key][]hyperblobs.Run, err error) {
	devices, err := f.space.Devices(ctx)
	if err != nil {
		return nil, nil, err
	}
	held := func(core *hypercore.Core, end uint64) (runs []hyperblobs.Run) {
		for start, end := range core.Held(0, end) {
			runs = append(runs, hyperblobs.Run{Start: start, End: end})
		}
		return runs
	}
	own = held(f.space.BlobLog(), f.began)
	others = make(map[hypercrypto.Key][]hyperblobs.Run)
	for _, d := range devices {
		if d.Self {
			continue
		}
		core, err := f.space.BlobLogOf(ctx, d.Blobs)
		if err != nil {
			return nil, nil, err
		}
		core.SetActive(false) // nothing is wanted of it
		others[d.Blobs] = held(core, core.Length())
		if err := core.Close(); err != nil {
			return nil, nil, err
		}
	}
	return own, others, nil
}

// blobLog returns a blob log of the space.
func (f *Files) blobLog(ctx context.Context, key hypercrypto.Key) (*hypercore.Core, error) {
	if own := f.space.BlobLog(); own.Key() == key {
		return own, nil
	}
	b, _, err := f.logs.get(ctx, key)
	if err != nil {
		return nil, err
	}
	return b.Core(), nil
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
	drop, keep, err := f.garbage(ctx, v, 0, 0)
	if err != nil {
		return nil, err
	}
	return f.needed(ctx, v, append(drop, keep...))
}
