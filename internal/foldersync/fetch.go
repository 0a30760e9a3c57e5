package foldersync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

const (
	defaultPatience = 20 * time.Second
	// noPatience counts after a content could not be had, until one can: all that is not
	// here would take long otherwise.
	noPatience = 500 * time.Millisecond
)

var errStalled = fault.New(fault.Unavailable, "nobody who has the content can be reached").
	Hint("it comes when a device that has it is online")

// patience says how long to wait for the next bytes of a content.
type patience struct {
	most time.Duration
	lost atomic.Bool // the last wait was in vain
}

func (p *patience) now() time.Duration {
	if p.lost.Load() {
		return min(noPatience, p.most)
	}
	return p.most
}

// lookTime is how often a pull in which contents do not come looks for what is new.
const lookTime = time.Second

// interrupted tells whether a pull ends here because something new is in the tree: it is not
// to wait for all those contents that do not come. What is left over goes on behind it.
func (p *puller) interrupted() bool {
	if p.stop.Load() || !p.patience.lost.Load() {
		return p.stop.Load()
	}
	last, now := p.looked.Load(), time.Now().UnixNano()
	if now-last < int64(lookTime) || !p.looked.CompareAndSwap(last, now) {
		return false
	}
	at, err := p.f.tree.Position(p.ctx)
	if err == nil && !bytes.Equal(at, p.to) {
		p.stop.Store(true)
	}
	return p.stop.Load()
}

// leave leaves the file of an entry to the next pull.
func (p *puller) leave(path string) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	p.pending[path] = true
	if p.left == "" || p.inTurn(path, p.left) < 0 {
		p.left = path
	}
}

// inTurn compares paths by their order in this pull, which goes on where the last was
// interrupted, and comes to what is before that in the end.
func (p *puller) inTurn(a, b string) int {
	start := p.f.leftOver
	if x, y := compare(a, start) < 0, compare(b, start) < 0; x != y {
		if y {
			return -1
		}
		return 1
	}
	return compare(a, b)
}

// fill copies a content, which the tree checks.
func (w *writer) fill(h *os.File, e filetree.Entry) error {
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	wait := w.patience.now()
	stalled := time.AfterFunc(wait, func() { cancel(errStalled) })
	defer stalled.Stop()
	err := w.copy(ctx, h, e, func() {
		w.patience.lost.Store(false)
		stalled.Reset(w.patience.most)
	})
	if err != nil && w.ctx.Err() == nil && errors.Is(context.Cause(ctx), errStalled) {
		w.patience.lost.Store(true)
		return errStalled
	}
	return err
}

// copy calls progress when something came.
func (w *writer) copy(ctx context.Context, h *os.File, e filetree.Entry, progress func()) error {
	r, err := w.f.tree.Open(ctx, e)
	if err != nil {
		return fmt.Errorf("fetch the content: %w", err)
	}
	defer r.Close()
	to := &sink{h: h, left: e.Size, progress: progress}
	if _, err := r.WriteTo(to); err != nil {
		if to.err != nil {
			return to.err
		}
		return fmt.Errorf("fetch the content: %w", err)
	}
	if to.left > 0 {
		return ErrContent
	}
	return nil
}

// sink writes a content to a file.
type sink struct {
	h        *os.File
	left     uint64 // bytes that are to come
	progress func()
	err      error // why it did not take more
}

func (s *sink) Write(p []byte) (n int, err error) {
	s.progress()
	if uint64(len(p)) > s.left {
		s.err = ErrContent
		return 0, s.err
	}
	n, s.err = s.h.Write(p)
	s.left -= uint64(n)
	return n, s.err
}
