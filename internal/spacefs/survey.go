package spacefs

import (
	"context"
	"errors"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Holder is somebody who may hold blocks of logs: this device or another one.
type Holder interface {
	// Holds counts the blocks from start to end of a log that it holds.
	Holds(log hypercrypto.Key, start, end uint64) (blocks uint64)
}

// Survey is what a tree has, and who holds how much of it.
type Survey struct {
	filetree.Count
	// Contents is how many different contents the tree, its history and the trash have,
	// and Size what they have together. Present and PresentSize are those of the files that
	// are in the tree now.
	Contents, Size       uint64
	Present, PresentSize uint64
	// Lacks is what the holders do not have, in their order.
	Lacks []Lack
}

// Lack is what a holder does not have of the contents. Nothing is the zero Lack.
type Lack struct {
	// Contents are not held completely, and lack Bytes, which is an estimate from the
	// number of blocks. Blocks that contents share count for each.
	Contents, Bytes uint64
	// Present and PresentBytes are those of the files that are in the tree now.
	Present, PresentBytes uint64
}

// surveyWait is how long a survey waits for lists of parts that only others have.
const surveyWait = 5 * time.Second

// Survey finds out what of all contents holders have. It takes time for each content.
func (f *Files) Survey(ctx context.Context, holders ...Holder) (*Survey, error) {
	v, release := f.View()
	defer release()
	s := &Survey{Lacks: make([]Lack, len(holders))}
	var err error
	if s.Count, err = v.Count(ctx); err != nil {
		return nil, err
	}
	present := make(map[hypercrypto.Hash]uint64) // sizes
	for e, err := range v.Walk(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.Kind == filetree.File && e.Size > 0 {
			present[e.Hash] = e.Size
		}
	}
	patience, cancel := context.WithTimeout(ctx, surveyWait)
	defer cancel()
	for live, err := range v.Live(ctx) {
		if err != nil {
			return nil, err
		}
		size, is := present[live.Hash]
		places, err := f.surveyed(ctx, patience, live, size)
		if err != nil {
			return nil, err
		}
		if len(places) == 0 {
			continue
		}
		s.count(places, is, holders)
	}
	return s, nil
}

// count takes a content into account. Each holder counts by the place of which it lacks least.
func (s *Survey) count(places []surveyedPlace, present bool, holders []Holder) {
	size := places[0].size
	s.Contents++
	s.Size += size
	if present {
		s.Present++
		s.PresentSize += size
	}
	for i, h := range holders {
		lacks := size
		for _, p := range places {
			if lacks = min(lacks, p.lackedBy(h)); lacks == 0 {
				break
			}
		}
		if lacks == 0 {
			continue
		}
		l := &s.Lacks[i]
		l.Contents++
		l.Bytes += lacks
		if present {
			l.Present++
			l.PresentBytes += lacks
		}
	}
}

// surveyedPlace is a place of content: its parts, nil if they cannot be told.
type surveyedPlace struct {
	size  uint64
	parts []content.Part
}

// lackedBy returns how many bytes a holder does not have.
func (p *surveyedPlace) lackedBy(h Holder) (bytes uint64) {
	if p.parts == nil {
		return p.size
	}
	for _, x := range p.parts {
		if x.Zeros() {
			continue
		}
		b := x.Blob
		if held := h.Holds(x.Log, b.BlockOffset, b.End()); held < b.BlockLength {
			bytes += max(1, uint64(float64(x.Size())*(float64(b.BlockLength-held)/float64(b.BlockLength))))
		}
	}
	return min(bytes, max(1, p.size))
}

// surveyed returns the places of a content that are fit. Of those that say another size
// than the tree, or than the first, something is wrong.
func (f *Files) surveyed(ctx, patience context.Context, live filetree.Released, size uint64) (places []surveyedPlace, err error) {
	for _, b := range live.Contents {
		ref, err := content.Decode(live.Hash, b)
		if err != nil || ref.Size == 0 || size != 0 && ref.Size != size {
			continue
		}
		if right, known := f.verdicts.get(live.Hash, b); known && !right {
			continue
		}
		parts, err := f.store.Parts(patience, ref)
		switch {
		case unusable(err):
			continue
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, hypercore.ErrNotAvailable):
			parts = nil
		case err != nil:
			return nil, err
		}
		size = ref.Size
		places = append(places, surveyedPlace{ref.Size, parts})
	}
	return places, nil
}
