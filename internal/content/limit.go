package content

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

const (
	// targetParts is how many parts a version may have when it is written. What is
	// stored again may lie in two runs if others append meanwhile; that is what the
	// distance to MaxParts is for.
	targetParts = MaxParts - MaxParts/16
	// maxWhileWriting bounds the list while content is being written: from there on
	// all chunks are stored anew.
	maxWhileWriting = 4 * MaxParts
	// zeroBlock is the size of the blocks in which zeros are stored when they are
	// stored after all.
	zeroBlock = 128 << 10
)

// limit makes the parts no more than targetParts: neighbours are stored again as
// one part in the own log, those with the fewest bytes first. Each part less costs
// no more than two parts of average length, so edits never degrade content beyond
// that, and no single edit pays for many before it.
func (w *stream) limit(l *logs) error {
	for range 8 {
		if len(w.parts) <= targetParts {
			return nil
		}
		if err := w.merge(l, len(w.parts)-targetParts); err != nil {
			return err
		}
	}
	return fmt.Errorf("content: %d parts cannot be joined to %d", len(w.parts), targetParts)
}

// merge removes n borders between parts.
func (w *stream) merge(l *logs, n int) error {
	borders := make([]int, len(w.parts)-1) // border i is behind part i
	for i := range borders {
		borders[i] = i
	}
	slices.SortFunc(borders, func(a, b int) int {
		return cmp.Compare(w.parts[a].Size()+w.parts[a+1].Size(), w.parts[b].Size()+w.parts[b+1].Size())
	})
	gone := make([]bool, len(w.parts))
	for _, i := range borders[:n] {
		gone[i] = true
	}
	old := w.parts
	w.parts = make([]Part, 0, targetParts+1)
	for i := 0; i < len(old); i++ {
		from := i
		for gone[i] {
			i++
		}
		if from == i {
			w.parts = addPart(w.parts, old[i])
			continue
		}
		if err := w.restore(l, old[from:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// restore stores parts again, block by block so that the cuts stay, and adds them.
func (w *stream) restore(l *logs, parts []Part) error {
	var group [][]byte
	bytes := 0
	flush := func() error {
		stored, err := w.put(group)
		for _, p := range stored {
			w.parts = addPart(w.parts, p)
		}
		group, bytes = group[:0], 0
		return err
	}
	add := func(block []byte) error {
		group = append(group, block)
		if bytes += len(block); bytes >= bufferBytes {
			return flush()
		}
		return nil
	}
	for _, p := range parts {
		if p.Zeros() {
			for left := p.Size(); left > 0; {
				n := min(left, zeroBlock)
				if err := add(make([]byte, n)); err != nil {
					return err
				}
				left -= n
			}
			continue
		}
		b, err := l.get(w.ctx, p.Log)
		if err != nil {
			return err
		}
		if err := eachBlock(w.ctx, b, p.Blob, add); err != nil {
			return fmt.Errorf("store small parts again: %w", err)
		}
	}
	return flush()
}

// eachBlock calls fn with the blocks of a part.
func eachBlock(ctx context.Context, b *hyperblobs.Blobs, run hyperblobs.ID, fn func([]byte) error) error {
	for i := run.BlockOffset; i < run.End(); i++ {
		block, err := b.Core().Get(ctx, i)
		if err != nil {
			return err
		}
		if err := fn(block); err != nil {
			return err
		}
	}
	return nil
}
