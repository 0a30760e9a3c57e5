package hyperblobs

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Map returns the pieces of a mapped blob, in order, fetching the map from peers
// if it is not held.
func (b *Blobs) Map(ctx context.Context, id ID) ([]Piece, error) {
	if err := b.checkHere(id); err != nil {
		return nil, err
	}
	if !id.BlockMap {
		return nil, fmt.Errorf("%w: plain blob has no map", ErrInvalid)
	}
	if !b.local && !b.core.Has(id.BlockOffset, id.End()) {
		d := b.core.Download(hypercore.Range{Start: id.BlockOffset, End: id.End(), Linear: true})
		defer d.Close()
	}
	var pieces []Piece
	n := uint64(0)
	for i := id.BlockOffset; i < id.End(); i++ {
		block, err := b.block(ctx, nil, i)
		if err != nil {
			return nil, fmt.Errorf("read block map: %w", err)
		}
		n += uint64(len(block))
		if pieces, err = decodeMap(pieces, block, id.BlockOffset); err != nil {
			return nil, err
		}
	}
	if n != id.ByteLength {
		return nil, fmt.Errorf("%w: map of %d bytes instead of %d", ErrInvalid, n, id.ByteLength)
	}
	if _, ok := size(pieces); !ok {
		return nil, fmt.Errorf("%w: content above 2^53 bytes", ErrInvalid)
	}
	return pieces, nil
}

// Size returns the content length in bytes. For a mapped blob that needs the
// map.
func (b *Blobs) Size(ctx context.Context, id ID) (uint64, error) {
	if !id.BlockMap {
		return id.ByteLength, id.check()
	}
	pieces, err := b.Map(ctx, id)
	n, _ := size(pieces)
	return n, err
}

// Runs returns the blocks of a blob, map blocks included, as sorted ranges that
// do not touch. For a mapped blob that needs the map.
func (b *Blobs) Runs(ctx context.Context, id ID) ([]Run, error) {
	if !id.BlockMap {
		if err := id.check(); err != nil || id.BlockLength == 0 {
			return nil, err
		}
		return []Run{{Start: id.BlockOffset, End: id.End()}}, nil
	}
	pieces, err := b.Map(ctx, id)
	if err != nil {
		return nil, err
	}
	indexes := make([]uint64, 0, len(pieces)+int(id.BlockLength))
	for _, p := range pieces {
		indexes = append(indexes, p.Index)
	}
	for i := id.BlockOffset; i < id.End(); i++ {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	return slices.Collect(runs(indexes)), nil
}

// Has tells whether all blocks of the blob are held here. It never asks peers: a
// map that is not held means that the blob is not.
func (b *Blobs) Has(ctx context.Context, id ID) bool {
	if id.check() != nil {
		return false
	}
	if !b.core.Has(id.BlockOffset, id.End()) {
		return id.BlockLength == 0
	}
	runs, err := b.Runs(ctx, id)
	if err != nil {
		return false
	}
	for _, r := range runs {
		if !b.core.Has(r.Start, r.End) {
			return false
		}
	}
	return true
}

// Clear frees the storage of the blob's blocks. The log does not get shorter, and
// peers that have the blocks keep them. Blocks for which keep is true stay; use it
// to keep what other mapped blobs share. keep may be nil.
func (b *Blobs) Clear(ctx context.Context, id ID, keep func(block uint64) bool) error {
	if id.check() != nil || id.BlockMap && !b.core.Has(id.BlockOffset, id.End()) {
		// Without its map a blob cannot be cleared, and fetching the map to drop
		// what it names would be absurd.
		return id.check()
	}
	all, err := b.Runs(ctx, id)
	if err != nil {
		return err
	}
	for _, r := range all {
		if err := b.clearRun(ctx, r, keep); err != nil {
			return fmt.Errorf("clear blocks %d to %d: %w", r.Start, r.End, err)
		}
	}
	return nil
}

func (b *Blobs) clearRun(ctx context.Context, r Run, keep func(uint64) bool) error {
	if keep == nil {
		return b.core.Clear(ctx, r.Start, r.End)
	}
	from := r.Start
	for i := r.Start; i < r.End; i++ {
		if !keep(i) {
			continue
		}
		if i > from {
			if err := b.core.Clear(ctx, from, i); err != nil {
				return err
			}
		}
		from = i + 1
	}
	if from < r.End {
		return b.core.Clear(ctx, from, r.End)
	}
	return nil
}

// Download fetches the blob's blocks that are not held and waits for them. The
// map, if there is one, comes first.
func (b *Blobs) Download(ctx context.Context, id ID) error {
	runs, err := b.Runs(ctx, id)
	if err != nil {
		return err
	}
	return b.DownloadRuns(ctx, runs)
}

// DownloadRuns fetches the blocks in the ranges that are not held and waits for
// them. Ranges of many blobs, joined, cost less than one call for each.
func (b *Blobs) DownloadRuns(ctx context.Context, runs []Run) error {
	var active []*hypercore.Download
	defer func() {
		for _, d := range active {
			d.Close()
		}
	}()
	for _, r := range runs {
		if r.End > r.Start && !b.core.Has(r.Start, r.End) {
			active = append(active, b.core.Download(hypercore.Range{Start: r.Start, End: r.End}))
		}
	}
	for _, d := range active {
		if err := d.Wait(ctx); err != nil {
			return fmt.Errorf("download blob: %w", err)
		}
	}
	return nil
}

// JoinRuns sorts ranges and joins those that touch or overlap, in place.
func JoinRuns(rs []Run) []Run {
	slices.SortFunc(rs, func(a, b Run) int { return cmp.Compare(a.Start, b.Start) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
		} else {
			out = append(out, r)
		}
	}
	return out
}
