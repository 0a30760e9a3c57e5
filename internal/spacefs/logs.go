package spacefs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space"
)

// errForeign is the error of a reference to a log that is no device's of the space.
var errForeign = errors.New("spacefs: content in a log that no device of the space has")

// logs are the blob logs of the other devices, each opened when it is first needed.
type logs struct {
	space *space.Space

	mu   sync.Mutex // guards what follows
	open map[hypercrypto.Key]*hyperblobs.Blobs
}

func newLogs(sp *space.Space) *logs {
	return &logs{space: sp, open: make(map[hypercrypto.Key]*hyperblobs.Blobs)}
}

// get is a [content.OpenLog].
func (l *logs) get(ctx context.Context, key hypercrypto.Key) (*hyperblobs.Blobs, func(), error) {
	l.mu.Lock()
	b := l.open[key]
	l.mu.Unlock()
	if b != nil {
		return b, nil, nil
	}
	devices, err := l.space.Devices(ctx) // may wait for peers
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.open[key]; b != nil {
		return b, nil, nil
	}
	for _, d := range devices {
		if d.Blobs != key {
			continue
		}
		core, err := l.space.BlobLogOf(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		l.open[key] = hyperblobs.New(core)
		return l.open[key], nil, nil
	}
	return nil, nil, fmt.Errorf("%w: %s", errForeign, key.Discovery())
}

func (l *logs) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, b := range l.open {
		errs = append(errs, b.Core().Close())
	}
	clear(l.open)
	return errors.Join(errs...)
}

// self returns the record of this device.
func (f *Files) self(ctx context.Context) (space.Device, error) {
	devices, err := f.space.Devices(ctx)
	if err != nil {
		return space.Device{}, err
	}
	for _, d := range devices {
		if d.Self && !d.Removed {
			return d, nil
		}
	}
	return space.Device{}, fault.New(fault.Permission, "this device is not in space %q", f.space.Name())
}
