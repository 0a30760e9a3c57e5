package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrReadOnly is the error of writing on a device without a log of its own.
var ErrReadOnly = errors.New("content: this device has no blob log")

// OpenLog returns the blobs of a log by its key. It must refuse keys that are not
// blob logs of the space: a Ref may name any. release gives the log back.
type OpenLog func(ctx context.Context, log hypercrypto.Key) (b *hyperblobs.Blobs, release func(), err error)

// Store reads the contents that are in the logs of all devices and writes to the
// log of this one. It is safe for concurrent use.
type Store struct {
	own  *hyperblobs.Blobs // nil: reads only
	key  hypercrypto.Key   // of own
	open OpenLog
}

// New returns a Store that appends to own, which stays the caller's, as all logs
// that open returns do. Nobody else may append to own's log but through own. A nil
// own makes a Store that only reads.
func New(own *hyperblobs.Blobs, open OpenLog) *Store {
	s := &Store{own: own, open: open}
	if own != nil {
		s.key = own.Core().Key()
	}
	return s
}

// logs are those that one call needs, each opened once.
type logs struct {
	s       *Store
	blobs   map[hypercrypto.Key]*hyperblobs.Blobs
	release []func()
}

func (s *Store) logs() *logs {
	return &logs{s: s, blobs: make(map[hypercrypto.Key]*hyperblobs.Blobs)}
}

// get returns the blobs of a log until close.
func (l *logs) get(ctx context.Context, key hypercrypto.Key) (*hyperblobs.Blobs, error) {
	if l.s.own != nil && key == l.s.key {
		return l.s.own, nil
	}
	if b := l.blobs[key]; b != nil {
		return b, nil
	}
	b, release, err := l.s.open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open blob log: %w", err)
	}
	l.blobs[key] = b
	if release != nil {
		l.release = append(l.release, release)
	}
	return b, nil
}

// close gives all logs back. The set can be used again.
func (l *logs) close() {
	for _, release := range l.release {
		release()
	}
	l.release = nil
	clear(l.blobs)
}
