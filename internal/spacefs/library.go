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

	mu   sync.Mutex // guards open
	open map[hypercrypto.Key]*Files

	changeMu sync.Mutex    // guards change
	change   chan struct{} // closed and replaced when a folder is published, or is no longer
}

// NewLibrary returns a library that opens files with these options.
func NewLibrary(opts *Options) *Library {
	return &Library{opts: opts, open: make(map[hypercrypto.Key]*Files), change: make(chan struct{})}
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

// Of returns the files of a space, which stay open until Drop or Close.
func (l *Library) Of(sp *space.Space) *Files {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.open[sp.Key()]
	if f == nil {
		f = open(sp, l.opts, l.changed)
		l.open[sp.Key()] = f
	}
	return f
}

// Drop closes the files of a space, which is about to be closed. Nobody may use them.
func (l *Library) Drop(key hypercrypto.Key) error {
	l.mu.Lock()
	f := l.open[key]
	delete(l.open, key)
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Close()
}

// Leave closes the files of a space, has do leave or forget the space, and deletes the drives
// that were published from it. Nobody may use the files.
func (l *Library) Leave(ctx context.Context, sp *space.Space, do func() error) error {
	f := l.Of(sp)
	f.published.mu.Lock()
	var ids []string
	for _, p := range f.published.list {
		ids = append(ids, p.id)
	}
	f.published.mu.Unlock()
	if err := l.Drop(sp.Key()); err != nil {
		return err
	}
	if err := do(); err != nil {
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
