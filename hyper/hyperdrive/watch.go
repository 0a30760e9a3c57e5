package hyperdrive

import (
	"context"
	"iter"
	"math"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Update is a new state of a drive that is watched.
type Update struct {
	// Current is the new version, Previous the one of the last Update, nil in the
	// first. Both are closed when the next Update is asked for.
	Current, Previous *View
	// Reset tells that the names were truncated: Previous may not be readable
	// any more, and differences have to be found by listing Current.
	Reset bool
	// BlobsKept is how much of the log of the contents stayed since the last
	// Update. Files whose blob ends above must be read again, even if their entry
	// did not change. It is the largest uint64 if nothing was cut.
	BlobsKept uint64
}

// Watch yields the drive as it is, and then whenever something below folder has
// changed, truncations of both logs included. It ends when the loop is left or
// ctx ends, whose error it then yields. Changes during the loop's body come
// together.
func (d *Drive) Watch(ctx context.Context, folder string) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		w := &watcher{d: d, folder: folder, signal: make(chan struct{}, 1), kept: math.MaxUint64}
		if err := w.run(ctx, func(u Update) bool { return yield(u, nil) }); err != nil {
			yield(Update{}, err)
		}
	}
}

type watcher struct {
	d      *Drive
	folder string
	signal chan struct{}

	mu   sync.Mutex // guards kept
	kept uint64
}

func (w *watcher) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

func (w *watcher) run(ctx context.Context, yield func(Update) bool) error {
	stop := w.d.core.Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventAppend || e.Type == hypercore.EventTruncate {
			w.wake()
		}
	})
	defer stop()
	previous, err := w.d.Snapshot()
	if err != nil {
		return err
	}
	fork := w.d.core.Fork()
	defer func() { previous.Close() }()
	stopBlobs, opened := func() {}, false
	defer func() { stopBlobs() }()
	first := true
	for {
		if !opened && w.d.knownBlobs() != nil {
			opened, stopBlobs = true, w.watchBlobs()
		}
		if first {
			if !yield(Update{Current: previous, BlobsKept: math.MaxUint64}) {
				return nil
			}
			first = false
			continue
		}
		select {
		case <-w.signal:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		current, err := w.d.Snapshot()
		if err != nil {
			return err
		}
		u := Update{Current: current, Previous: previous, BlobsKept: w.takeKept()}
		now := w.d.core.Fork()
		u.Reset, fork = now != fork, now
		changed, err := w.changed(ctx, &u)
		if err != nil {
			current.Close()
			return err
		}
		goOn := !changed || yield(u)
		previous.Close()
		previous = current
		if !goOn {
			return nil
		}
	}
}

// watchBlobs follows truncations of the contents.
func (w *watcher) watchBlobs() (stop func()) {
	return w.d.knownBlobs().Core().Events(func(e hypercore.Event) {
		if e.Type != hypercore.EventTruncate {
			return
		}
		w.mu.Lock()
		w.kept = min(w.kept, truncatedTo(e))
		w.mu.Unlock()
		w.wake()
	})
}

func (w *watcher) takeKept() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.kept
	w.kept = math.MaxUint64
	return kept
}

// changed tells whether the update concerns the folder.
func (w *watcher) changed(ctx context.Context, u *Update) (bool, error) {
	if u.Reset || u.BlobsKept != math.MaxUint64 {
		return true, nil
	}
	for _, err := range u.Current.Diff(ctx, u.Previous, w.folder) {
		return err == nil, err
	}
	return false, nil
}

// truncatedTo returns how many blocks stayed when a log was truncated. A fork
// from a peer can bring new blocks in the same step.
func truncatedTo(e hypercore.Event) uint64 { return min(e.Length, e.Index) }
