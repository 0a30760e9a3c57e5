package corestore

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Marked returns a view of the same namespace that notes, durably, which cores it made:
// those that were not stored before it was asked for them. So do the views made of it.
// [Store.MadeBy] finds them again, to delete them with what they belong to.
func (s *Store) Marked(mark string) *Store {
	v := s.view(s.namespace)
	v.mark = mark
	return v
}

// MadeBy returns the cores that views with a mark have made and that are stored still.
func (s *Store) MadeBy(mark string) (list []hypercrypto.DiscoveryKey, err error) {
	for c, err := range s.root.db.Cores() {
		if err != nil {
			return nil, fmt.Errorf("list cores: %w", err)
		}
		switch _, err := c.UserData(markName(mark)); {
		case err == nil:
			list = append(list, c.DiscoveryKey())
		case !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("read mark of core %s: %w", c.DiscoveryKey(), err)
		}
	}
	return list, nil
}

// markName is where a mark is among the user data of a core.
func markName(mark string) string { return "corestore/made/" + mark }

// stored tells whether a core is stored.
func (r *root) stored(o *hypercore.Options) bool {
	dk, err := o.Discovery()
	if err != nil {
		return true // opening it fails
	}
	_, err = r.db.Core(dk)
	return !errors.Is(err, storage.ErrNotFound)
}

func (r *root) setMark(dk hypercrypto.DiscoveryKey, mark string) error {
	c, err := r.db.Core(dk)
	if err != nil {
		return fmt.Errorf("mark core %s: %w", dk, err)
	}
	b := r.db.NewBatch()
	defer b.Close()
	b.SetUserData(c, markName(mark), []byte{1})
	if err := b.Commit(storage.Relaxed); err != nil {
		return fmt.Errorf("mark core %s: %w", dk, err)
	}
	return nil
}
