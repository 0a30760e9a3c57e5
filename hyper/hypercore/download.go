package hypercore

import (
	"context"
	"sync"
)

// Range says which blocks to download.
type Range struct {
	// Start is the first block, End the one after the last. End 0 means the
	// length of the log when it is first known.
	Start, End uint64
	// Blocks, if not nil, are fetched instead, in this order.
	Blocks []uint64
	// Live never finishes: it follows the log as it grows. End is ignored.
	Live bool
	// Linear asks for blocks front to back, also of several peers.
	Linear bool
}

// Download is a standing order for blocks. It goes on in the background, also
// across reconnects, until it is done or closed.
type Download struct {
	log  *log
	core *Core

	once sync.Once
	done chan struct{} // closed when everything is held or after Close
	err  error         // set before done is closed

	// Guarded by replicator.mu.
	r      Range
	ended  bool   // End is settled
	next   uint64 // every block of the range before it is held or was asked for
	listed int    // the same for Blocks
}

// Download orders the blocks of r from peers. It returns at once.
func (c *Core) Download(r Range) *Download {
	d := &Download{log: c.under(), core: c, r: r, done: make(chan struct{}), next: r.Start, ended: r.End != 0 || r.Live || r.Blocks != nil}
	if r.Blocks != nil {
		d.r.Blocks = append([]uint64{}, r.Blocks...)
	}
	if c.closed.Load() {
		d.finish(ErrClosed)
		return d
	}
	if !d.ended && c.pinned() {
		d.r.End, d.ended = c.Length(), true
	}
	d.log.repl.addDownload(d)
	return d
}

// Wait waits until every block of the range is held. It returns ctx's error if
// that ends first, and [ErrClosed] if the download or the log is closed before.
func (d *Download) Wait(ctx context.Context) error {
	select {
	case <-d.done:
		return d.err
	case <-ctx.Done():
		return ctx.Err()
	case <-d.core.done:
		return ErrClosed
	}
}

// Done is closed when the download is done or closed.
func (d *Download) Done() <-chan struct{} { return d.done }

// Close withdraws the order. It may be called twice and after the end.
func (d *Download) Close() {
	d.log.repl.removeDownload(d)
	d.finish(ErrClosed)
}

func (d *Download) finish(err error) {
	d.once.Do(func() {
		d.err = err
		close(d.done)
	})
}
