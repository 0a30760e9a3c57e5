package corestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Delete removes cores from the directory with all that is stored of them, in
// one commit; the space comes back. Peers are not served any more. It is
// [ErrInUse] while a handle on one of them is open, and nothing happens to cores
// that are not stored.
//
// A core that could be written is not made again: its signer would sign a second
// history, for which peers freeze a log for good. Its name stays taken and gives
// [ErrDeleted], and so does its key pair. By its key it can be fetched again to
// be read.
func (s *Store) Delete(ctx context.Context, cores ...hypercrypto.DiscoveryKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := s.root
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.wg.Add(1)
	defer r.wg.Done()
	r.mu.Unlock()
	for _, dk := range cores {
		release, err := r.evict(ctx, dk)
		if err != nil {
			return fmt.Errorf("delete core %s: %w", dk, err)
		}
		defer release()
	}
	var deleted []*storage.Core
	b := r.db.NewBatch()
	defer b.Close()
	for _, dk := range cores {
		c, err := r.db.Core(dk)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete core %s: %w", dk, err)
		}
		// Key pairs of names are derived, not stored, so length decides: a log
		// with a head may have been signed here.
		if c.Head().Length > 0 || c.Head().Fork > 0 {
			b.SetStoreUserData(tombstone(dk), []byte{1})
		}
		b.DeleteCore(c)
		deleted = append(deleted, c)
	}
	if err := b.Commit(storage.Durable); err != nil {
		return fmt.Errorf("delete cores: %w", err)
	}
	for _, c := range deleted {
		if err := c.Shrink(ctx); err != nil {
			return err
		}
	}
	return nil
}

func tombstone(dk hypercrypto.DiscoveryKey) string { return "corestore/deleted/" + dk.String() }

// mayCreate returns ErrDeleted if the core was deleted here and would be written
// again.
func (r *root) mayCreate(dk hypercrypto.DiscoveryKey) error {
	switch _, err := r.db.UserData(tombstone(dk)); {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %s", ErrDeleted, dk)
}

// evict closes a core that nobody uses and keeps it from being opened until
// release is called.
func (r *root) evict(ctx context.Context, dk hypercrypto.DiscoveryKey) (release func(), err error) {
	for {
		r.mu.Lock()
		e := r.cores[dk]
		switch {
		case e == nil:
			e = &entry{ready: make(chan struct{}), gone: make(chan struct{}), err: hypercore.ErrClosed}
			close(e.ready)
			r.cores[dk] = e
		case e.gone != nil: // being closed, or deleted by somebody else
			r.mu.Unlock()
			select {
			case <-e.gone:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case e.users > e.opens:
			r.mu.Unlock()
			return nil, ErrInUse
		case e.users > 0: // a peer asks for it at this moment
			r.mu.Unlock()
			select {
			case <-time.After(time.Millisecond):
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		default:
			e.gone = make(chan struct{})
		}
		r.mu.Unlock()
		if e.core != nil {
			err = e.core.Close()
		}
		release = func() {
			r.mu.Lock()
			delete(r.cores, dk)
			r.mu.Unlock()
			close(e.gone)
		}
		if err != nil {
			release()
		}
		return release, err
	}
}
