package files

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/internal/fault"
)

// State picks a version; the zero value is the newest.
type State struct {
	Version uint64
	// At picks the version that was current at that time.
	At time.Time
}

// freshness is how long a drive that is here already is asked for news.
const freshness = 5 * time.Second

// Reading is one state of a drive, open for reading.
type Reading struct {
	Place Place
	View  *hyperdrive.View
	// Newest is the version that was newest when the reading began.
	Newest uint64

	ctx     context.Context
	drive   *hyperdrive.Drive
	watch   *watchdog
	release []func()
	once    sync.Once
}

// Context ends when the patience does; reads through View should use it.
func (r *Reading) Context() context.Context { return r.ctx }

// Close releases the drive.
func (r *Reading) Close() {
	r.once.Do(func() {
		for i := len(r.release) - 1; i >= 0; i-- {
			r.release[i]()
		}
	})
}

// Read opens one state of a drive. If it has to come from peers, Read and all
// later reads wait as long as something arrives at least once per patience; 0 is
// for ever. The Reading must be closed.
func (l *Library) Read(ctx context.Context, p Place, s State, patience time.Duration) (*Reading, error) {
	r := &Reading{Place: p}
	r.ctx, r.watch = newWatchdog(ctx, patience)
	r.release = append(r.release, r.watch.stop)
	err := l.read(r, s)
	if err != nil {
		err = explain(r.ctx, err)
		r.Close()
		return nil, err
	}
	return r, nil
}

func (l *Library) read(r *Reading, s State) error {
	h, release, err := l.acquire(r.ctx, r.Place.Record)
	if err != nil {
		return err
	}
	r.release = append(r.release, release)
	r.drive = h.drive
	r.release = append(r.release, h.drive.Core().Events(r.watch.event))
	if !h.drive.Writable() {
		if err := freshen(r.ctx, h.drive); err != nil {
			return err
		}
	}
	r.Newest = h.drive.Version()
	if s.Version == 0 && s.At.IsZero() {
		s.Version = r.Place.Version
	}
	version, err := r.Place.version(r.ctx, h.drive, s)
	if err != nil {
		return err
	}
	if version <= 1 && r.Newest > 1 && !s.At.IsZero() {
		return fault.New(fault.NotFound, "the drive was empty at %s", s.At.Format(time.DateTime)).Hint("%s", r.Place.seeVersions())
	}
	r.View, err = h.drive.Checkout(version)
	if err != nil {
		return err
	}
	r.release = append(r.release, func() { r.View.Close() })
	return nil
}

// version returns the number of a state of the place's drive.
func (p Place) version(ctx context.Context, d *hyperdrive.Drive, s State) (uint64, error) {
	switch newest := d.Version(); {
	case !s.At.IsZero():
		return d.VersionAt(ctx, s.At)
	case s.Version == 0:
		return newest, nil
	case s.Version > newest:
		return 0, fault.New(fault.NotFound, "there is no version %d; the newest is %d", s.Version, newest).Hint("%s", p.seeVersions())
	}
	whole, err := d.WholeVersion(ctx, s.Version)
	if err == nil && whole != s.Version {
		err = fault.New(fault.NotFound, "there is no version %d: the number is inside of the change that made version %d", s.Version, whole).
			Hint("%s", p.seeVersions())
	}
	return s.Version, err
}

// seeVersions is the hint for a version that does not exist.
func (p Place) seeVersions() string {
	return "see its versions: cloudpal log " + fault.Word(p.shortRef())
}

// freshen waits until something of a drive of somebody else is here, and asks
// its peers for news if it is.
func freshen(ctx context.Context, d *hyperdrive.Drive) error {
	if d.Core().Length() > 0 {
		short, cancel := context.WithTimeout(ctx, freshness)
		defer cancel()
		if _, err := d.Update(short); err != nil && (ctx.Err() != nil || short.Err() == nil) {
			return err
		}
		return nil
	}
	arrived := make(chan struct{}, 1)
	stop := d.Core().Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventAppend || e.Type == hypercore.EventPeerAdd {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	})
	defer stop()
	for d.Core().Length() == 0 {
		if _, err := d.Update(ctx); err != nil {
			return err
		}
		if d.Core().Length() > 0 {
			break
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// watchdog ends a context when nothing has happened for too long.
type watchdog struct {
	cancel   context.CancelCauseFunc
	patience time.Duration

	mu    sync.Mutex // guards timer
	timer *time.Timer
}

func newWatchdog(ctx context.Context, patience time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{cancel: cancel, patience: patience}
	if patience > 0 {
		w.timer = time.AfterFunc(patience, func() {
			cancel(unavailable("no peer gave anything for %s", patience.Round(time.Millisecond)))
		})
	}
	return ctx, w
}

// touch starts the patience again.
func (w *watchdog) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && w.timer.Stop() {
		w.timer.Reset(w.patience)
	}
}

// hold ends the patience: from now on nothing depends on peers.
func (w *watchdog) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) stop() {
	w.hold()
	w.cancel(errors.New("closed"))
}

func (w *watchdog) event(e hypercore.Event) {
	switch e.Type {
	case hypercore.EventDownload, hypercore.EventAppend:
		w.touch()
	}
}
