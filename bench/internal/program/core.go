package program

import (
	"context"
	"errors"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/storage"
)

// logStore is a directory that holds one log.
type logStore struct {
	*hypercore.Core
	db *storage.DB
}

// openLog opens the first log in dir, or the one that opts name. If there is
// none it is made.
func openLog(ctx context.Context, dir string, opts hypercore.Options) (*logStore, error) {
	db, err := storage.Open(dir, nil)
	if err != nil {
		return nil, err
	}
	for c, err := range db.Cores() {
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		if opts.Key == nil {
			dk := c.DiscoveryKey()
			opts.DiscoveryKey = &dk
		}
		break
	}
	core, err := hypercore.Open(ctx, db, &opts)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &logStore{Core: core, db: db}, nil
}

// Close closes the log and its store.
func (l *logStore) Close() error { return errors.Join(l.Core.Close(), l.db.Close()) }
