package spacefs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
)

// Library has the files of the open spaces, each opened when it is first needed. It is
// safe for concurrent use.
type Library struct {
	opts *Options

	mu     sync.Mutex // guards what follows
	open   map[hypercrypto.Key]*Files
	ending map[*space.Space]struct{} // dropped, or about to be; few are ever

	changeMu sync.Mutex    // guards change
	change   chan struct{} // closed and replaced when a folder is published, or is no longer
}

// NewLibrary returns a library that opens files with these options.
func NewLibrary(opts *Options) *Library {
	return &Library{opts: opts, open: make(map[hypercrypto.Key]*Files), ending: make(map[*space.Space]struct{}), change: make(chan struct{})}
}

// PublishedChanged returns a channel that is closed when a folder of some space is
// published, or is no longer.
func (l *Library) PublishedChanged() <-chan struct{} {
	l.changeMu.Lock()
	defer l.changeMu.Unlock()
	return l.change
}

func (l *Library) changed() {
	l.changeMu.Lock()
	defer l.changeMu.Unlock()
	close(l.change)
	l.change = make(chan struct{})
}

// Of returns the files of a space, which stay open until Drop or Close. Those of a space
// that is dropped, which somebody still has at hand, are closed.
func (l *Library) Of(sp *space.Space) *Files {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.ending[sp]; ok {
		f := prepare(sp, l.opts, l.changed)
		_ = f.Close() // nothing is open
		return f
	}
	f := l.open[sp.Key()]
	if f == nil {
		f = open(sp, l.opts, l.changed)
		l.open[sp.Key()] = f
	}
	return f
}

// Drop closes the files of a space, which nobody may use any more, calls end, which closes
// the space, and deletes the drives that were published from it. If end fails the space goes
// on, and its files are opened anew when they are needed.
func (l *Library) Drop(ctx context.Context, sp *space.Space, end func() error) error {
	f := l.Of(sp)
	ids := f.publishedDrives()
	l.mu.Lock()
	if l.open[sp.Key()] == f {
		delete(l.open, sp.Key())
	}
	l.ending[sp] = struct{}{}
	l.mu.Unlock()
	err := f.Close()
	if err == nil {
		err = end()
	}
	if err != nil {
		l.mu.Lock()
		delete(l.ending, sp)
		l.mu.Unlock()
		return err
	}
	for _, id := range ids {
		d, err := f.openDrive(ctx, id)
		if err == nil {
			err = d.Purge(ctx)
		}
		if err != nil {
			return fmt.Errorf("delete the drive of a published folder: %w", err)
		}
	}
	return nil
}

// Close closes all of them. Nobody may use them.
func (l *Library) Close() error {
	l.mu.Lock()
	open := l.open
	l.open = make(map[hypercrypto.Key]*Files)
	l.mu.Unlock()
	var errs []error
	for _, f := range open {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
