package foldersync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
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

// fill copies a content and checks it.
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
	if w.buf == nil {
		w.buf = make([]byte, 256<<10)
	}
	sum := newHash()
	var size uint64
	for {
		n, err := r.Read(w.buf)
		if n > 0 {
			progress()
			if size += uint64(n); size > e.Size {
				break
			}
			_, _ = sum.Write(w.buf[:n]) // never fails
			if _, err := h.Write(w.buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("fetch the content: %w", err)
		}
	}
	var got hypercrypto.Hash
	sum.Sum(got[:0])
	if size != e.Size || got != e.Hash {
		return fault.New(fault.Corrupt, "the content is not what its author said it is")
	}
	return nil
}
