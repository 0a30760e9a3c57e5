package space

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// markOf marks the logs that are here because of a space.
func markOf(key hypercrypto.Key) string { return "cloudpal/space/" + key.Hex() }

// clearWait is how long others may take to let go of the logs of a space that is
// forgotten. What is in use longer is deleted when the library is opened again.
const clearWait = 10 * time.Second

// Forget stops keeping a space on this device, which stays a member, and deletes all that
// is stored of it here. The space can be joined again, with other logs. Nobody may use the
// space any more.
func (l *Library) Forget(ctx context.Context, s *Space) error {
	l.mu.Lock()
	if l.open[s.Key()] != s {
		l.mu.Unlock()
		return fault.New(fault.NotFound, "space %q is not here any more", s.Name())
	}
	r := *l.records[s.Key()]
	r.Forgotten = true
	err := l.putLocked(ctx, r)
	if err == nil {
		delete(l.open, s.Key())
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, clearWait)
	defer cancel()
	if err := l.clear(patience, r); err != nil {
		return fmt.Errorf("delete what is stored of space %q: %w", r.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clearedLocked(ctx, r)
}

// clearForgotten deletes what is left of spaces that were forgotten when the program ended.
func (l *Library) clearForgotten(ctx context.Context) {
	l.mu.Lock()
	var list []Record
	for _, r := range l.records {
		if r.Forgotten && !r.cleared {
			list = append(list, *r)
		}
	}
	l.mu.Unlock()
	for _, r := range list {
		err := l.clear(ctx, r)
		if err == nil {
			l.mu.Lock()
			err = l.clearedLocked(ctx, r)
			l.mu.Unlock()
		}
		if err != nil {
			l.opts.Log.Warn("what is stored of a space that was left is still there", "space", r.Name, "err", err)
		}
	}
}

// clearedLocked notes that nothing of a forgotten space is stored.
func (l *Library) clearedLocked(ctx context.Context, r Record) error {
	if now := l.records[r.Key]; now == nil || !now.Forgotten || now.namespace != r.namespace {
		return nil // it was joined again
	}
	r.cleared = true
	return l.putLocked(ctx, r)
}

// clear deletes the logs of a space: the own ones and those that were made for it. Logs that
// were here before, for something else, or that another space needs too, stay: who
// names the logs of a space may be no friend.
func (l *Library) clear(ctx context.Context, r Record) error {
	list, err := l.store.MadeBy(markOf(r.Key))
	if err != nil {
		return err
	}
	store := l.store.Namespace(storeName(r.namespace))
	defer store.Close()
	list = append(list, hypercrypto.DefaultManifest(store.KeyPair(logName).Public).Key().Discovery())
	blobs, err := store.Get(ctx, corestore.GetOptions{Name: blobsName, Passive: true})
	if err == nil {
		list = append(list, blobs.DiscoveryKey())
		err = blobs.Close()
	}
	if err != nil && !errors.Is(err, corestore.ErrDeleted) {
		return err
	}
	others, err := l.needed(ctx, r.Key)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b hypercrypto.DiscoveryKey) int { return slices.Compare(a[:], b[:]) })
	for _, dk := range slices.Compact(list) {
		if others[dk] {
			continue
		}
		if err := l.delete(ctx, dk); err != nil {
			return err
		}
	}
	return nil
}

// delete deletes a log as soon as nobody uses it.
func (l *Library) delete(ctx context.Context, dk hypercrypto.DiscoveryKey) error {
	for {
		err := l.store.Delete(ctx, dk)
		if !errors.Is(err, corestore.ErrInUse) {
			return err
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// needed returns the logs of all open spaces but one.
func (l *Library) needed(ctx context.Context, but hypercrypto.Key) (map[hypercrypto.DiscoveryKey]bool, error) {
	all := make(map[hypercrypto.DiscoveryKey]bool)
	for _, s := range l.Spaces() {
		if s.Key() == but {
			continue
		}
		logs, err := s.Logs(ctx)
		if err != nil {
			return nil, err
		}
		for key := range logs {
			all[key.Discovery()] = true
		}
	}
	return all, nil
}
