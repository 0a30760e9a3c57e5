package files

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// Copy is how much of a drive is on this machine.
type Copy struct {
	Link        string
	Version     uint64
	Bytes, Held uint64 // of the contents of all versions
	Complete    bool   // nothing that is known of is missing
	Peers       int
}

// Seed keeps full copies of drives, in all versions, and follows what their
// owners add, until ctx ends. report is called when a copy changes, at most once
// per second and drive.
func (l *Library) Seed(ctx context.Context, places []Place, report func(Copy)) error {
	g, ctx := errgroup.WithContext(ctx)
	changes := make(chan Copy)
	for _, p := range places {
		g.Go(func() error { return explain(ctx, l.seed(ctx, p, changes)) })
	}
	ended := make(chan error, 1)
	go func() {
		ended <- g.Wait()
	}()
	for {
		select {
		case c := <-changes:
			report(c)
		case err := <-ended:
			return err
		}
	}
}

// seedReport is the least time between two reports of a drive.
const seedReport = time.Second

func (l *Library) seed(ctx context.Context, p Place, changes chan<- Copy) error {
	h, release, err := l.acquire(ctx, p.Record)
	if err != nil {
		return err
	}
	defer release()
	if err := l.remember(ctx, p.Record); err != nil {
		return err
	}
	d := h.drive
	news := make(chan struct{}, 1)
	note := func(e hypercore.Event) {
		switch e.Type {
		case hypercore.EventDownload, hypercore.EventAppend, hypercore.EventPeerAdd, hypercore.EventPeerRemove:
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}
	defer d.Core().Events(note)()
	if !d.Writable() {
		defer d.Core().Download(hypercore.Range{Live: true}).Close()
	}
	blobs, err := d.Blobs(ctx) // waits for the owner's first word
	if err != nil {
		return err
	}
	defer blobs.Core().Events(note)()
	if !d.Writable() {
		defer blobs.Core().Download(hypercore.Range{Live: true}).Close()
	}
	var last Copy
	var known contents
	tick := time.NewTicker(seedReport)
	defer tick.Stop()
	for {
		s, err := l.summarize(ctx, p.Record)
		if err != nil {
			return err
		}
		now := Copy{Link: p.Record.Link, Version: s.Version, Bytes: s.Bytes, Held: s.Held, Peers: s.Peers}
		if s.Version > 0 && whole(d.Core()) && whole(blobs.Core()) {
			if err := known.update(ctx, d); err != nil {
				return err
			}
			now.Complete = known.end <= blobs.Core().Length()
		}
		if now != last {
			select {
			case changes <- now:
			case <-ctx.Done():
				return ctx.Err()
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// contents knows where the contents of a drive's version end, in blocks: the
// names may be here before the log of the contents is known to be so long.
type contents struct{ version, end uint64 }

// update looks at the newest version, all names of which are here.
func (c *contents) update(ctx context.Context, d *hyperdrive.Drive) error {
	v, err := d.Checkout(d.Version())
	if err != nil {
		return err
	}
	defer v.Close()
	if v.Version() == c.version {
		return nil
	}
	c.version, c.end = v.Version(), 0
	for e, err := range v.List(ctx, "") {
		if err != nil {
			// Whatever the owner put there is copied, whether it makes sense or not.
			return ctx.Err()
		}
		if e.Blob != nil {
			c.end = max(c.end, e.Blob.BlockOffset+e.Blob.BlockLength)
		}
	}
	return nil
}

func whole(c *hypercore.Core) bool { return c.ContiguousLength() == c.Length() }

// remember lists a drive of somebody else under a name, if it is not yet.
func (l *Library) remember(ctx context.Context, r Record) error {
	if _, known := l.registry.byKey(r.Key); known {
		return nil
	}
	r.Added = time.Now().UTC().Truncate(time.Second)
	r.Name = "drive-" + shortKey(r.Key)
	if _, err := l.registry.add(ctx, r, false); err != nil {
		return fmt.Errorf("remember the drive: %w", err)
	}
	return nil
}
