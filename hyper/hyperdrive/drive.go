package hyperdrive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrReadOnly is the error of a write to a drive without its key pair.
var ErrReadOnly = errors.New("hyperdrive: drive is read-only")

// Drive is a drive at its newest version. The embedded [View] reads it: each
// call sees the version that is newest at its start. It is safe for concurrent
// use; a drive may be written through one Drive at a time.
type Drive struct {
	*View
	place *place
	core  *hypercore.Core // of the names
	opts  Options
	clock *clock
	seen  *seenLog // nil for drives whose entries say when they were written

	openContent func(ctx context.Context) (*hypercore.Core, error)
	opening     chan struct{} // holds a token while the contents are opened

	mu      sync.Mutex // guards what follows
	content *hyperblobs.Blobs
	closed  bool
}

// newDrive makes a drive of the core of its names. openContent is called once,
// when the contents are needed first.
func newDrive(p *place, header *hyperbee.Metadata, openContent func(context.Context) (*hypercore.Core, error)) (*Drive, error) {
	core, opts := p.core, p.opts
	d := &Drive{place: p, core: core, opts: opts, openContent: openContent, opening: make(chan struct{}, 1)}
	d.clock = &clock{now: opts.Now}
	d.View = &View{d: d, tree: hyperbee.New(core, &hyperbee.Options{Metadata: header})}
	if !core.Writable() || opts.NoTimes {
		var err error
		if d.seen, err = watchSeen(core, opts.Now); err != nil {
			return nil, errors.Join(err, d.tree.Close())
		}
	}
	return d, nil
}

// Key returns the key of the drive: who knows it can read the drive.
func (d *Drive) Key() hypercrypto.Key { return d.core.Key() }

// DiscoveryKey returns the hash of the key by which peers find the drive.
func (d *Drive) DiscoveryKey() hypercrypto.DiscoveryKey { return d.core.DiscoveryKey() }

// Writable tells whether the drive can be changed.
func (d *Drive) Writable() bool { return d.tree.Writable() }

// StoresTimes tells whether entries that are written say when, and when the file
// was modified; see [Options].
func (d *Drive) StoresTimes() bool { return !d.opts.NoTimes }

// Core returns the log of the names.
func (d *Drive) Core() *hypercore.Core { return d.core }

// Blobs returns the contents. For a drive that is known by its key only, that
// waits for the first answer of a peer, which tells where the contents are.
func (d *Drive) Blobs(ctx context.Context) (*hyperblobs.Blobs, error) {
	if b := d.knownBlobs(); b != nil {
		return b, nil
	}
	select {
	case d.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-d.opening }()
	if b := d.knownBlobs(); b != nil {
		return b, nil
	}
	core, err := d.openContent(ctx)
	if err != nil {
		return nil, fmt.Errorf("open contents of drive: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.Join(hypercore.ErrClosed, core.Close())
	}
	d.content = hyperblobs.New(core)
	return d.content, nil
}

func (d *Drive) knownBlobs() *hyperblobs.Blobs {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.content
}

// Update asks peers whether there is a newer version and tells whether there
// was.
func (d *Drive) Update(ctx context.Context) (bool, error) { return d.tree.Update(ctx) }

// Checkout returns the drive at a version: one that Version returned at some
// time. Reads of a version that does not exist yet wait for it. The view must be
// closed.
func (v *View) Checkout(version uint64) (*View, error) {
	t, err := v.tree.Checkout(version)
	if err != nil {
		return nil, err
	}
	return &View{d: v.d, tree: t, local: v.local}, nil
}

// Snapshot returns the current version as a view that does not change. It must
// be closed.
func (v *View) Snapshot() (*View, error) {
	t, err := v.tree.Snapshot()
	if err != nil {
		return nil, err
	}
	return &View{d: v.d, tree: t, local: v.local}, nil
}

// Close closes the drive's logs. Views of it must be closed before. It is safe to
// call twice.
func (d *Drive) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	content := d.content
	d.mu.Unlock()
	errs := []error{d.tree.Close()}
	if d.seen != nil {
		errs = append(errs, d.seen.close())
	}
	errs = append(errs, d.core.Close())
	if content != nil {
		errs = append(errs, content.Core().Close())
	}
	return errors.Join(errs...)
}

// clock gives commits their times: milliseconds that only go up, so that the
// version of a time can be searched for.
type clock struct {
	now func() time.Time

	started atomic.Bool // the drive's own last time was looked at

	mu   sync.Mutex // guards last
	last time.Time
}

// next returns the time of a commit: now, but after the last one.
func (c *clock) next() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.now().Truncate(time.Millisecond)
	if !t.After(c.last) {
		t = c.last.Add(time.Millisecond)
	}
	c.last = t
	return t
}

// atLeast makes all further commits later than t.
func (c *clock) atLeast(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.last) {
		c.last = t
	}
}
