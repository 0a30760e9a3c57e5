package spacefs

import (
	"context"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// maxStep is by how many bytes a log may grow at once to be followed. What came while
// this device was away is left to those who need it: part of it may be of the past.
const maxStep = 128 << 20

// Follow fetches what other devices store while they store it, until ctx ends. So the
// content of a large file comes before the change that names it.
func (f *Files) Follow(ctx context.Context) {
	followed := make(map[hypercrypto.Key]*follower)
	defer func() {
		for _, w := range followed {
			w.stop()
		}
	}()
	f.every(ctx, "follow", freeTick, func(ctx context.Context) error {
		devices, err := f.space.Devices(ctx)
		if err != nil {
			return err
		}
		for _, d := range devices {
			if d.Self || d.Removed || followed[d.Blobs] != nil {
				continue
			}
			b, _, err := f.logs.get(ctx, d.Blobs)
			if err != nil {
				return err
			}
			followed[d.Blobs] = follow(b)
		}
		return nil
	})
}

// follower orders what comes to a log.
type follower struct {
	core   *hypercore.Core
	grew   chan struct{}
	done   chan struct{}
	ignore func() // the events
	length uint64 // up to which was ordered or left out
	bytes  uint64
	orders []*hypercore.Download
}

func follow(b *hyperblobs.Blobs) *follower {
	w := &follower{core: b.Core(), grew: make(chan struct{}, 1), done: make(chan struct{})}
	w.length, w.bytes = w.core.Length(), w.core.ByteLength()
	w.ignore = w.core.Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventAppend {
			select {
			case w.grew <- struct{}{}:
			default:
			}
		}
	})
	go w.run()
	return w
}

func (w *follower) run() {
	defer close(w.done)
	for range w.grew {
		from, before := w.length, w.bytes
		w.length, w.bytes = w.core.Length(), w.core.ByteLength()
		for len(w.orders) > 0 && isDone(w.orders[0]) {
			w.orders = w.orders[1:]
		}
		if from < w.length && w.bytes-before <= maxStep {
			w.orders = append(w.orders, w.core.Download(hypercore.Range{Start: from, End: w.length, Linear: true}))
		}
	}
	for _, o := range w.orders {
		o.Close()
	}
}

func isDone(d *hypercore.Download) bool {
	select {
	case <-d.Done():
		return true
	default:
		return false
	}
}

// stop withdraws what has not come.
func (w *follower) stop() {
	w.ignore()
	close(w.grew)
	<-w.done
}
