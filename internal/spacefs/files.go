package spacefs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space"
)

// Options configures [Open]. The zero value is ready to use.
type Options struct {
	// Policy says which contents are fetched before somebody reads them, until SetPolicy
	// says something else.
	Policy Policy
	// Drives is the store for the drives of published folders; nil publishes nothing.
	Drives *corestore.Store
	// MergeWait is how long a conflict of texts is left to the device that is to merge
	// it. Default one minute.
	MergeWait time.Duration
	// Released, if set, is called when what [Files.Released] returns changed. It must not
	// wait.
	Released func()
	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.MergeWait == 0 {
		c.MergeWait = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Files is the files of a space. It is safe for concurrent use. There may be only one of
// a space at a time: it alone appends to the blob log of this device.
type Files struct {
	space    *space.Space
	store    *content.Store
	logs     *logs
	began    uint64 // length of the own log at first
	opts     Options
	verdicts verdicts
	fresh    fresh

	tried                tried     // the merging goroutine's
	freed                freed     // the freeing goroutine's
	nextPurge, nextPrune time.Time // the trash's goroutine's

	published  published
	announce   func()     // called when published changed
	publishing sync.Mutex // held while drives are written

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	policy Policy
	trees  map[*Tree]struct{}
	wake   chan struct{} // closed and replaced when there is something to do

	released []Released
}

// Open returns the files of a space and begins to care for them, until Close. The space
// must stay open as long.
func Open(sp *space.Space, opts *Options) *Files { return open(sp, opts, func() {}) }

func open(sp *space.Space, opts *Options, announce func()) *Files {
	f := prepare(sp, opts, announce)
	f.start()
	return f
}

// prepare returns files that nobody cares for yet.
func prepare(sp *space.Space, opts *Options, announce func()) *Files {
	f := &Files{space: sp, announce: announce, opts: opts.withDefaults(), logs: newLogs(sp), trees: make(map[*Tree]struct{}), wake: make(chan struct{})}
	f.policy, f.began = f.opts.Policy, sp.BlobLog().Length()
	f.store = content.New(hyperblobs.NewRelaxed(sp.BlobLog()), f.logs.get)
	f.cancel = func() {}
	f.loadPolicy()
	return f
}

func (f *Files) start() {
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	if f.opts.Drives != nil {
		f.published.failed = f.loadPublished(ctx)
	}
	f.wg.Go(func() { f.tell(ctx) })
	f.wg.Go(func() { f.every(ctx, "merge", mergeTick, f.merge) })
	f.wg.Go(func() { f.every(ctx, "free", freeTick, f.free) })
	f.wg.Go(func() { f.every(ctx, "empty the trash", trashTick, f.emptyTrash) })
	f.wg.Go(func() { f.every(ctx, "publish", publishTick, f.publish) })
	f.wg.Go(func() { f.keep(ctx) })
	f.wg.Go(func() { f.every(ctx, "fetch operations", keepTick, f.keepOperations) })
}

// Close ends the care and gives the logs back. Reads and writes must have ended.
func (f *Files) Close() error {
	f.cancel()
	f.wg.Wait()
	return f.closeAll()
}

func (f *Files) closeAll() error {
	errs := []error{f.logs.close()}
	for _, p := range f.published.list {
		errs = append(errs, p.drive.Close())
	}
	f.published.list = nil
	return errors.Join(errs...)
}

// How long duties wait at least between two looks, and at most.
const (
	minPause  = 100 * time.Millisecond
	mergeTick = 10 * time.Second
	freeTick  = 10 * time.Minute
	trashTick = time.Hour
)

// every calls a duty when the space changed, and from time to time.
func (f *Files) every(ctx context.Context, what string, tick time.Duration, duty func(context.Context) error) {
	for ctx.Err() == nil {
		changed, wake := f.space.Changed(), f.woken()
		if err := duty(ctx); err != nil && ctx.Err() == nil {
			f.opts.Log.Debug("files: to be tried again", "space", f.space.Name(), "duty", what, "error", err)
		}
		if !sleep(ctx, minPause) {
			return
		}
		timer := time.NewTimer(tick)
		select {
		case <-changed:
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// woken returns a channel that is closed when there is something to do without a change
// of the space.
func (f *Files) woken() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wake
}

func (f *Files) nudge() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.wake)
	f.wake = make(chan struct{})
}

// sleep waits and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tell passes changes of the space on to the trees.
func (f *Files) tell(ctx context.Context) {
	for {
		changed := f.space.Changed()
		f.mu.Lock()
		for t := range f.trees {
			t.notify()
		}
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Space returns the space.
func (f *Files) Space() *space.Space { return f.space }

// Contents returns where contents are.
func (f *Files) Contents() *content.Store { return f.store }

// View returns the newest tree, which stays what it is until release is called. A View
// is for one goroutine.
func (f *Files) View() (v *filetree.View, release func()) {
	r, release := f.space.Hold(Type)
	return filetree.NewView(r), release
}

// device returns the key that this device has as an author.
func (f *Files) device(ctx context.Context) (hypercrypto.PublicKey, error) {
	d, err := f.self(ctx)
	return d.Key, err
}
