package spacefs

import (
	"context"

	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Held is how much of a tree is on this device.
type Held struct {
	filetree.Count
	// Contents is how many different contents the tree, its history and the trash have,
	// and Size what they have together.
	Contents, Size uint64
	// HeldContents are here completely. HeldSize is what of all is here; blocks that
	// contents share count for each.
	HeldContents, HeldSize uint64
}

// Full tells whether this device is a full copy: everything that the space names is
// held here.
func (h *Held) Full() bool { return h.HeldContents == h.Contents }

// Held counts what is held here. It takes time for each content, and asks nobody.
func (f *Files) Held(ctx context.Context) (Held, error) {
	v, release := f.View()
	defer release()
	var h Held
	var err error
	if h.Count, err = v.Count(ctx); err != nil {
		return h, err
	}
	for live, err := range v.Live(ctx) {
		if err != nil {
			return h, err
		}
		list, err := f.sorted(ctx, live.Hash, live.Contents, func(content.Ref) bool { return true })
		if err != nil {
			return h, err
		}
		if len(list) == 0 {
			continue
		}
		h.Contents++
		h.Size += list[0].Size
		h.HeldSize += list[0].held
		if list[0].whole() {
			h.HeldContents++
		}
	}
	return h, nil
}
