package hypercore

import (
	"context"
	"slices"
	"sort"
	"sync"
)

// Run is a run of blocks: Start up to but not including End.
type Run struct{ Start, End uint64 }

// Range says which blocks to download.
type Range struct {
	// Start is the first block, End the one after the last. End 0 means the
	// length of the log when it is first known.
	Start, End uint64
	// Blocks, if not nil, are fetched instead, in this order.
	Blocks []uint64
	// Live never finishes: it follows the log as it grows. End is ignored.
	Live bool
	// Except are blocks between Start and End that are not to be fetched: sorted runs
	// that do not touch. They count as done whether they are held or not.
	Except []Run
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
	d.r.Except = slices.Clone(r.Except)
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

// except returns the exception that has block i, or else the next one after it.
func (d *Download) except(i uint64) (r Run, has bool) {
	list := d.r.Except
	n := sort.Search(len(list), func(n int) bool { return list[n].End > i })
	if n == len(list) {
		return Run{}, false
	}
	return list[n], list[n].Start <= i
}

// nextMissing returns the first block from i on that is wanted and not held.
func (d *Download) nextMissing(l *log, i uint64) uint64 {
	for {
		i = l.st.NextMissing(i)
		r, has := d.except(i)
		if !has {
			return i
		}
		i = r.End
	}
}

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
