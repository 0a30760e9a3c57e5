package spacefs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	// maxStep is by how many bytes a log may grow at once to be followed. What came while
	// this device was away is left to those who need it: part of it may be of the past.
	maxStep = 128 << 20
	// maxFollowed is how many bytes of a log are followed within followTime.
	maxFollowed = 8 << 30
	// followTime is when what no content turned out to need is cleared: what another
	// device stored and dropped again, because the file changed meanwhile.
	followTime = time.Hour
)

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
		return f.clearUnnamed(ctx, followed, time.Now())
	})
}

// clearUnnamed clears what was followed long ago and belongs to no content.
func (f *Files) clearUnnamed(ctx context.Context, followed map[hypercrypto.Key]*follower, now time.Time) error {
	due := make(map[hypercrypto.Key][]followedRun)
	for key, w := range followed {
		if old := w.old(now); len(old) > 0 {
			due[key] = old
		}
	}
	if len(due) == 0 {
		return nil
	}
	v, release := f.View()
	defer release()
	blocks, err := f.named(ctx, v)
	if err != nil {
		return fmt.Errorf("look for what was fetched in vain: %w", err)
	}
	for key, runs := range due {
		core := followed[key].core
		for _, r := range runs {
			for _, unused := range blocks.Unused(key, core, r.from, r.to) {
				if err := core.Clear(ctx, unused.Start, unused.End); err != nil {
					return fmt.Errorf("free what was fetched in vain: %w", err)
				}
			}
		}
		followed[key].forget(len(runs))
	}
	return nil
}

// follower orders what comes to a log.
type follower struct {
	core   *hypercore.Core
	grew   chan struct{}
	quit   chan struct{} // closed by stop
	done   chan struct{} // closed when the goroutine has ended
	ignore func()        // the events

	mu     sync.Mutex // guards what follows
	length uint64     // up to which was ordered or left out
	bytes  uint64
	orders []*hypercore.Download
	runs   []followedRun // the oldest first; the first is what was there before
}

type followedRun struct {
	from, to, bytes uint64
	at              time.Time
}

func follow(b *hyperblobs.Blobs) *follower {
	w := &follower{core: b.Core(), grew: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	w.length, w.bytes = w.core.Length(), w.core.ByteLength()
	w.runs = []followedRun{{to: w.length, at: time.Now()}}
	w.ignore = w.core.Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventAppend {
			w.notify()
		}
	})
	w.notify()
	go w.run()
	return w
}

func (w *follower) notify() {
	select {
	case w.grew <- struct{}{}:
	default:
	}
}

func (w *follower) run() {
	defer close(w.done)
	for {
		select {
		case <-w.grew:
			w.order(time.Now())
		case <-w.quit:
			for _, o := range w.orders {
				o.Close()
			}
			return
		}
	}
}

// order orders what is new.
func (w *follower) order(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from, before := w.length, w.bytes
	w.length, w.bytes = w.core.Length(), w.core.ByteLength()
	for len(w.orders) > 0 && isDone(w.orders[0]) {
		w.orders = w.orders[1:]
	}
	total := w.bytes - before
	if from >= w.length || total > maxStep {
		return
	}
	for _, r := range w.runs {
		total += r.bytes
	}
	if total > maxFollowed {
		return
	}
	w.orders = append(w.orders, w.core.Download(hypercore.Range{Start: from, End: w.length, Linear: true}))
	if last := &w.runs[len(w.runs)-1]; len(w.runs) > 1 && last.to == from && now.Sub(last.at) < time.Minute {
		last.to, last.bytes = w.length, last.bytes+w.bytes-before
	} else {
		w.runs = append(w.runs, followedRun{from, w.length, w.bytes - before, now})
	}
}

// old returns the first runs, which were followed long ago.
func (w *follower) old(now time.Time) []followedRun {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.runs) && now.Sub(w.runs[n].at) > followTime {
		n++
	}
	return append([]followedRun(nil), w.runs[:n]...)
}

// forget forgets the first n runs.
func (w *follower) forget(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = w.runs[n:]
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
	close(w.quit)
	<-w.done
}
