package spacefs

import (
	"errors"
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
}

// NewLibrary returns a library that opens files with these options.
func NewLibrary(opts *Options) *Library {
	return &Library{opts: opts, open: make(map[hypercrypto.Key]*Files)}
}

// Of returns the files of a space, which stay open until Drop or Close.
func (l *Library) Of(sp *space.Space) *Files {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.open[sp.Key()]
	if f == nil {
		f = Open(sp, l.opts)
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
