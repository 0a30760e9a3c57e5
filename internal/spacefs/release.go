package spacefs

import (
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/space"
)

// Released is what nobody needs any more of a blob log.
type Released struct {
	Log          hypercrypto.Key
	Fork, Length uint64
	// Runs are sorted, and none touches another.
	Runs []hyperblobs.Run
	// Own says that the log is this device's. Others are those of devices that were
	// removed, and do not speak for themselves.
	Own bool
}

// Released returns what is released of the logs that this device may speak for; nil before
// the files were looked at for the first time.
//
// Of the own log that is what was freed, of the others all that no content has which the
// space knows.
func (f *Files) Released() []Released {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.released
}

// noteReleased finds out what is released, when these blocks are needed.
func (f *Files) noteReleased(ctx context.Context, devices []space.Device, needed *content.Blocks) error {
	own := f.space.BlobLog()
	r := Released{Log: own.Key(), Fork: own.Fork(), Length: own.Length(), Own: true}
	at := uint64(0)
	gone := func(end uint64) {
		if at < end {
			r.Runs = append(r.Runs, needed.Without(r.Log, []hyperblobs.Run{{Start: at, End: end}})...)
		}
	}
	for start, end := range own.Held(0, r.Length) {
		gone(start)
		at = end
	}
	gone(r.Length)
	list := []Released{r}
	for _, d := range devices {
		if !d.Removed || slices.ContainsFunc(list, func(r Released) bool { return r.Log == d.Blobs }) {
			continue
		}
		core, err := f.space.BlobLogOf(ctx, d.Blobs)
		if err != nil {
			return fmt.Errorf("look at what is released: %w", err)
		}
		core.SetActive(false)
		r := Released{Log: d.Blobs, Fork: core.Fork(), Length: core.Length()}
		r.Runs = needed.Without(r.Log, []hyperblobs.Run{{Start: 0, End: r.Length}})
		if err := core.Close(); err != nil {
			return err
		}
		if r.Length > 0 {
			list = append(list, r)
		}
	}
	f.mu.Lock()
	same := slices.EqualFunc(list, f.released, func(a, b Released) bool {
		return a.Log == b.Log && a.Fork == b.Fork && slices.Equal(a.Runs, b.Runs)
	})
	f.released = list
	f.mu.Unlock()
	if !same && f.opts.Released != nil {
		f.opts.Released()
	}
	return nil
}
