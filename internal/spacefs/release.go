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

// Released returns what is released of the logs that this device may speak for, and a
// channel that is closed when that changes. It is nil before the files were looked at
// for the first time.
//
// Of the own log that is what was freed, of the others all that no content has which the
// space knows.
func (f *Files) Released() (list []Released, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.released, f.rereleased
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
	defer f.mu.Unlock()
	same := slices.EqualFunc(list, f.released, func(a, b Released) bool {
		return a.Log == b.Log && a.Fork == b.Fork && slices.Equal(a.Runs, b.Runs)
	})
	if f.released = list; !same {
		close(f.rereleased)
		f.rereleased = make(chan struct{})
	}
	return nil
}

// Needed returns the blocks that a full copy of the contents has: those of all contents
// that the space knows and has not released for good. It asks peers for lists of parts that
// are not here, until ctx ends.
func (f *Files) Needed(ctx context.Context) (*content.Blocks, error) {
	v, release := f.View()
	defer release()
	final, err := f.final(ctx)
	if err != nil {
		return nil, err
	}
	_, keep, err := f.garbage(ctx, v, final, final)
	if err != nil {
		return nil, err
	}
	return f.needed(ctx, v, keep)
}
