package hyperblobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// SmallSize is the largest content that [Blobs.Write] stores as a plain blob.
// Larger content is cut by itself and mapped.
const SmallSize = 1 << 20

// WriteOptions are the options of [Blobs.Write] and [Blobs.NewWriter].
type WriteOptions struct {
	// Base is the previous version of the content, whose blocks are shared where
	// they are equal. Default none.
	Base *ID
}

// Written tells what was written.
type Written struct {
	ID ID
	// Size is the content length in bytes.
	Size uint64
	// Appended is how many bytes the log grew by: no more than the chunks that
	// were new, and the map.
	Appended uint64
}

// Write stores what r has until EOF as one blob. Reading and cutting overlap
// with appending. If it fails, what was appended is dropped again.
func (b *Blobs) Write(ctx context.Context, r io.Reader, opts *WriteOptions) (Written, error) {
	w := b.NewWriter(ctx, opts)
	if _, err := w.ReadFrom(r); err != nil {
		w.Abort()
		return Written{}, err
	}
	if err := w.Close(); err != nil {
		return Written{}, err
	}
	return w.Written(), nil
}

// Writer stores what is written to it as one blob. It is not safe for concurrent
// use. Close or Abort must be called.
type Writer struct {
	ctx  context.Context // of the whole write: io.Writer has no room for one
	b    *Blobs
	opts WriteOptions

	buf []byte // from bufs until the cutter needs larger ones
	n   int    // bytes in buf

	base    []Piece
	cutter  *cutter
	chunks  int
	started bool
	work    chan filled
	free    chan []byte
	done    chan struct{} // closed when the appender has ended

	mw *mapWriter // the appender's, until done is closed

	mu  sync.Mutex
	err error // first failure of the appender

	closed  bool
	written Written
}

// filled is a buffer with the chunks found in it.
type filled struct {
	buf    []byte
	chunks [][]byte
}

// buffers is how many read buffers are in turn: one being filled, one being
// appended, one between them.
const buffers = 3

var bufs = sync.Pool{New: func() any { b := make([]byte, groupBytes); return &b }}

// NewWriter starts a blob. Nothing is appended before the content exceeds
// SmallSize. ctx bounds all of the work until Close.
func (b *Blobs) NewWriter(ctx context.Context, opts *WriteOptions) *Writer {
	w := &Writer{ctx: ctx, b: b, cutter: gearCutter, buf: *bufs.Get().(*[]byte)}
	if opts != nil {
		w.opts = *opts
	}
	return w
}

// Write adds p to the content.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	for len(p) > 0 {
		if w.n == len(w.buf) {
			if err := w.advance(false); err != nil {
				return n, err
			}
		}
		k := copy(w.buf[w.n:], p)
		w.n, n, p = w.n+k, n+k, p[k:]
	}
	return n, nil
}

// ReadFrom adds what r has until EOF to the content.
func (w *Writer) ReadFrom(r io.Reader) (total int64, err error) {
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	for {
		if w.n == len(w.buf) {
			if err := w.advance(false); err != nil {
				return total, err
			}
		}
		k, err := r.Read(w.buf[w.n:])
		w.n += k
		total += int64(k)
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		case w.ctx.Err() != nil:
			return total, context.Cause(w.ctx)
		}
	}
}

// advance hands the chunks of a full buffer, or of the last one, to the
// appender and goes on with the rest in another buffer.
func (w *Writer) advance(final bool) error {
	if !w.started {
		if err := w.start(); err != nil {
			return err
		}
	}
	if w.chunks >= gearEntries {
		w.cutter = rabinCutter
	}
	f := filled{buf: w.buf}
	rest := w.buf[:w.n]
	for len(rest) >= w.cutter.max || final && len(rest) > 0 {
		k := w.cutter.cut(rest)
		f.chunks = append(f.chunks, rest[:k:k])
		rest = rest[k:]
	}
	w.chunks += len(f.chunks)
	next := w.nextBuffer()
	w.n = copy(next, rest)
	w.buf = next
	w.work <- f
	return w.failed()
}

// nextBuffer waits until the appender gives a buffer back. The appender never
// waits for the writer, so it will.
func (w *Writer) nextBuffer() []byte {
	next := <-w.free
	if len(next) < w.cutter.buf {
		next = make([]byte, w.cutter.buf)
	}
	return next
}

// start begins the mapped form: the content is too large for a plain blob.
func (w *Writer) start() error {
	if err := w.loadBase(); err != nil {
		return err
	}
	w.started = true
	w.cutter = cutterFor(w.base)
	w.mw = w.b.newMapWriter(w.ctx, newDedup(w.b.core, w.base))
	w.work = make(chan filled)
	w.free = make(chan []byte, buffers)
	for range buffers - 1 {
		w.free <- nil
	}
	w.done = make(chan struct{})
	go w.appendAll()
	return nil
}

// loadBase reads the map of the previous version. One that cannot be read makes
// the write larger, not impossible.
func (w *Writer) loadBase() error {
	if w.opts.Base == nil || !w.opts.Base.BlockMap || w.base != nil {
		return nil
	}
	pieces, err := w.b.Map(w.ctx, *w.opts.Base)
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	if err == nil {
		w.base = pieces
	}
	return nil
}

// appendAll is the appender.
func (w *Writer) appendAll() {
	defer close(w.done)
	for f := range w.work {
		if w.failed() == nil {
			if err := w.appendFilled(f); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
		}
		w.free <- f.buf
	}
}

func (w *Writer) appendFilled(f filled) error {
	for _, c := range f.chunks {
		if err := w.mw.add(c); err != nil {
			return err
		}
	}
	return w.mw.flush()
}

func (w *Writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close stores what is left and makes the blob. It is safe to call twice.
func (w *Writer) Close() error {
	if w.closed {
		return w.failed()
	}
	w.closed = true
	defer w.release()
	if err := w.finish(); err != nil {
		w.stop(true)
		w.err = err
		return err
	}
	return nil
}

func (w *Writer) finish() error {
	if !w.started && w.n <= SmallSize {
		if err := w.loadBase(); err != nil {
			return err
		}
		if w.base == nil {
			id, err := w.b.Put(w.ctx, w.buf[:w.n])
			w.written = Written{ID: id, Size: uint64(w.n), Appended: uint64(w.n)}
			return err
		}
	}
	if err := w.advance(true); err != nil {
		return err
	}
	w.stop(false)
	if err := w.failed(); err != nil {
		return err
	}
	if w.mw.sameAs(w.base) {
		w.written = Written{ID: *w.opts.Base, Size: w.mw.size}
		return nil
	}
	id, err := w.mw.finish()
	w.written = Written{ID: id, Size: w.mw.size, Appended: w.mw.appended}
	return err
}

// stop waits until the appender has ended. With drop, what it appended is freed.
func (w *Writer) stop(drop bool) {
	if !w.started {
		return
	}
	if w.work != nil {
		close(w.work)
		w.work = nil
	}
	<-w.done
	if drop {
		w.mw.drop(context.WithoutCancel(w.ctx))
	}
}

// release returns the buffers.
func (w *Writer) release() {
	recycle(w.buf)
	w.buf = nil
	for w.started && len(w.free) > 0 {
		recycle(<-w.free)
	}
}

func recycle(b []byte) {
	if len(b) == groupBytes {
		bufs.Put(&b)
	}
}

// Abort gives the blob up and frees the storage of what was appended. It does
// nothing after Close.
func (w *Writer) Abort() {
	if w.closed {
		return
	}
	w.closed = true
	w.stop(true)
	w.release()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = fmt.Errorf("blob aborted: %w", io.ErrClosedPipe)
}

// Written returns what Close has stored.
func (w *Writer) Written() Written { return w.written }
