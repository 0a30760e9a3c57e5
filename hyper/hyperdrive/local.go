package hyperdrive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Download fetches the contents at path, and below it, that are not held here,
// and waits for them. The names come first.
func (v *View) Download(ctx context.Context, path string) error {
	names := v.d.core.Download(hypercore.Range{Start: 0, End: v.Version(), Linear: true})
	defer names.Close()
	if err := names.Wait(ctx); err != nil {
		return fmt.Errorf("download names: %w", err)
	}
	var list []*Entry
	for e, err := range v.Subtree(ctx, path) {
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	return v.DownloadEntries(ctx, list)
}

// DownloadDiff fetches the contents below folder that v has and old has not.
func (v *View) DownloadDiff(ctx context.Context, old *View, folder string) error {
	var list []*Entry
	for diff, err := range v.Diff(ctx, old, folder) {
		if err != nil {
			return err
		}
		if diff.New != nil {
			list = append(list, diff.New)
		}
	}
	return v.DownloadEntries(ctx, list)
}

// DownloadEntries fetches the contents of the entries that are not held here,
// maps first, and waits for them.
func (v *View) DownloadEntries(ctx context.Context, entries []*Entry) error {
	blobs, err := v.d.Blobs(ctx)
	if err != nil {
		return err
	}
	var maps []hyperblobs.Run
	for _, e := range entries {
		if e.Blob != nil && e.Blob.BlockMap && e.Blob.BlockLength > 0 {
			maps = append(maps, hyperblobs.Run{Start: e.Blob.BlockOffset, End: e.Blob.End()})
		}
	}
	if err := blobs.DownloadRuns(ctx, hyperblobs.JoinRuns(maps)); err != nil {
		return err
	}
	all, err := runsOf(ctx, blobs, entries)
	if err != nil {
		return err
	}
	return blobs.DownloadRuns(ctx, all)
}

// runsOf returns the blocks of all entries' contents.
func runsOf(ctx context.Context, blobs *hyperblobs.Blobs, entries []*Entry) ([]hyperblobs.Run, error) {
	var all []hyperblobs.Run
	for _, e := range entries {
		if e.Blob == nil {
			continue
		}
		runs, err := blobs.Runs(ctx, *e.Blob)
		if err != nil {
			return nil, fmt.Errorf("blocks of %s: %w", e.Path, err)
		}
		all = append(all, runs...)
	}
	return hyperblobs.JoinRuns(all), nil
}

// Clear frees the local storage of the contents at path and below it, as they
// are in this view. Blocks that other current files share stay. Peers keep what
// they have, and reading the files fetches them again. It returns how many
// blocks were freed.
func (v *View) Clear(ctx context.Context, path string) (freed uint64, err error) {
	clean, err := CleanFolder(path)
	if err != nil {
		return 0, err
	}
	blobs, err := v.d.Blobs(ctx)
	if err != nil {
		return 0, err
	}
	var drop, keep []hyperblobs.Run
	for e, err := range v.LocalOnly().List(ctx, "") {
		if err != nil {
			return 0, err
		}
		if e.Blob == nil {
			continue
		}
		runs, err := heldRuns(ctx, blobs, *e.Blob)
		if err != nil {
			return 0, err
		}
		if within(e.Path, clean) {
			drop = append(drop, runs...)
		} else {
			keep = append(keep, runs...)
		}
	}
	return clearRuns(ctx, blobs.Core(), hyperblobs.JoinRuns(drop), hyperblobs.JoinRuns(keep))
}

// Collect frees the local storage of all contents that neither the newest
// version nor one of the views to keep refers to. It returns how many blocks were
// freed.
func (d *Drive) Collect(ctx context.Context, keep ...*View) (freed uint64, err error) {
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return 0, err
	}
	// The length is taken first: contents that are appended meanwhile belong to
	// entries that are not written yet.
	length := blobs.Core().Length()
	now, err := d.Snapshot()
	if err != nil {
		return 0, err
	}
	defer now.Close()
	var used []hyperblobs.Run
	for _, v := range append(slices.Clone(keep), now) {
		for e, err := range v.List(ctx, "") {
			if err != nil {
				return 0, err
			}
			if e.Blob == nil {
				continue
			}
			runs, err := heldRuns(ctx, blobs, *e.Blob)
			if err != nil {
				return 0, err
			}
			used = append(used, runs...)
		}
		used = hyperblobs.JoinRuns(used)
	}
	return clearRuns(ctx, blobs.Core(), []hyperblobs.Run{{Start: 0, End: length}}, used)
}

// heldRuns returns the blocks of a blob. If it has a map that is not held, the
// content cannot be known and only the map counts.
func heldRuns(ctx context.Context, blobs *hyperblobs.Blobs, id hyperblobs.ID) ([]hyperblobs.Run, error) {
	if id.BlockMap && !blobs.Core().Has(id.BlockOffset, id.End()) {
		return []hyperblobs.Run{{Start: id.BlockOffset, End: id.End()}}, nil
	}
	runs, err := blobs.Runs(ctx, id)
	if errors.Is(err, hyperblobs.ErrInvalid) {
		return nil, nil
	}
	return runs, err
}

// clearRuns clears the blocks of drop that are not in keep. Both are sorted and
// disjoint.
func clearRuns(ctx context.Context, core *hypercore.Core, drop, keep []hyperblobs.Run) (freed uint64, err error) {
	remove := func(start, end uint64) error {
		if start >= end {
			return nil
		}
		for i := start; i < end; i++ {
			if core.Has(i, i+1) {
				freed++
			}
		}
		return core.Clear(ctx, start, end)
	}
	k := 0
	for _, r := range drop {
		for k < len(keep) && keep[k].End <= r.Start {
			k++
		}
		at := r.Start
		for j := k; j < len(keep) && keep[j].Start < r.End; j++ {
			if err := remove(at, keep[j].Start); err != nil {
				return freed, fmt.Errorf("clear contents: %w", err)
			}
			at = max(at, keep[j].End)
		}
		if err := remove(at, r.End); err != nil {
			return freed, fmt.Errorf("clear contents: %w", err)
		}
	}
	return freed, nil
}

// BlobsLength returns the length that the log of the contents needs for this
// version: the highest end of any blob.
func (v *View) BlobsLength(ctx context.Context) (n uint64, err error) {
	for e, err := range v.List(ctx, "") {
		if err != nil {
			return 0, err
		}
		if e.Blob != nil {
			n = max(n, e.Blob.End())
		}
	}
	return n, nil
}

// Truncate takes the drive back to a version, in both logs, and so removes all
// later ones. It is [hyperbee.ErrNotAVersion] for a number inside of a change.
// Peers follow. The logs are cut one after the other: until both are,
// readers can see the old contents under the new names.
func (d *Drive) Truncate(ctx context.Context, version uint64) error {
	if !d.Writable() {
		return ErrReadOnly
	}
	whole, err := d.WholeVersion(ctx, version)
	if err != nil {
		return err
	}
	if whole != version {
		return fmt.Errorf("truncate to version %d, inside of %d: %w", version, whole, hyperbee.ErrNotAVersion)
	}
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return err
	}
	old, err := d.Checkout(version)
	if err != nil {
		return err
	}
	defer old.Close()
	length, err := old.BlobsLength(ctx)
	if err != nil {
		return fmt.Errorf("truncate to version %d: %w", version, err)
	}
	if err := d.tree.Truncate(ctx, version); err != nil {
		return fmt.Errorf("truncate names: %w", err)
	}
	if err := blobs.Core().Truncate(ctx, min(length, blobs.Core().Length()), nil); err != nil {
		return fmt.Errorf("truncate contents: %w", err)
	}
	return nil
}
