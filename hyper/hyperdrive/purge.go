package hyperdrive

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Purge closes the drive and removes both of its logs, names and contents, from
// the store's directory in one commit; the space comes back. Other copies of the
// drive are not touched: it can be fetched again from peers that hold it, but
// the one who wrote it cannot go on writing, see [corestore.Store.Delete]. All
// views and all other handles of the drive must be closed before, else the error
// is [corestore.ErrInUse] and the drive is closed but not removed.
func (d *Drive) Purge(ctx context.Context) error {
	cores := []hypercrypto.DiscoveryKey{d.DiscoveryKey()}
	content, err := d.place.contentKey(ctx, d)
	if err != nil {
		return fmt.Errorf("purge drive: %w", err)
	}
	if content != nil {
		cores = append(cores, content.Discovery())
	}
	if err := d.Close(); err != nil {
		return fmt.Errorf("purge drive: %w", err)
	}
	if err := d.place.store.Delete(ctx, cores...); err != nil {
		return fmt.Errorf("purge drive: %w", err)
	}
	return nil
}

// contentKey returns the key of the contents, nil if it is not known here: then
// nothing of them is stored either. It asks no peer.
func (p *place) contentKey(ctx context.Context, d *Drive) (*hypercrypto.Key, error) {
	if b := d.knownBlobs(); b != nil {
		key := b.Core().Key()
		return &key, nil
	}
	if d.core.Has(0, 1) {
		if feed, err := p.contentFeed(ctx); err != nil || feed != nil {
			return feed, err
		}
	}
	if m := p.contentManifest(); m != nil {
		key := m.Key()
		return &key, nil
	}
	return nil, nil
}
