package space

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Parts are the logs that a space consists of, with the lengths that a copy of it has to
// have, as far as this device knows them; 0 if it does not.
type Parts struct {
	// State are the logs of the signed state, which has the whole history of the space.
	// Operations are the writers' logs, Contents the blob logs.
	State, Operations, Contents map[hypercrypto.Key]uint64
}

// Logs returns all of them. Who keeps them all has a full copy, whether it can read them
// or not.
func (p *Parts) Logs() map[hypercrypto.Key]uint64 {
	all := maps.Clone(p.State)
	maps.Copy(all, p.Operations)
	maps.Copy(all, p.Contents)
	return all
}

// Parts returns the logs of the space.
func (s *Space) Parts(ctx context.Context) (*Parts, error) {
	p := &Parts{make(map[hypercrypto.Key]uint64), make(map[hypercrypto.Key]uint64), make(map[hypercrypto.Key]uint64)}
	need := func(logs map[hypercrypto.Key]uint64, k hypercrypto.Key, length uint64) {
		logs[k] = max(logs[k], length)
	}
	st := s.base.Status()
	need(p.State, st.System, st.Signed)
	linked, err := s.linkedLogs()
	if err != nil {
		return nil, err
	}
	for _, k := range linked {
		need(p.State, k, 0)
	}
	for _, v := range st.Views {
		need(p.State, v.Key, v.Signed)
	}
	for _, r := range st.Heads {
		need(p.Operations, r.Key, r.Length)
	}
	for _, r := range st.Indexers {
		need(p.Operations, r.Key, r.Length)
	}
	need(p.Operations, s.Log(), 0)
	need(p.Contents, s.blobs.Key(), s.blobs.Length())
	tree, release := s.snaps.use()
	defer release()
	devices, err := records{tree}.devices(ctx)
	if err != nil {
		return nil, fmt.Errorf("read devices of space %q: %w", s.Name(), err)
	}
	for _, d := range devices {
		m, ok, err := s.base.Member(ctx, d.key)
		if err != nil {
			return nil, s.explain(err)
		}
		if ok {
			need(p.Operations, d.key, m.Length)
		}
		length, err := s.lengthHere(ctx, d.rec.blobs)
		if err != nil {
			return nil, fmt.Errorf("contents of space %q: %w", s.Name(), err)
		}
		need(p.Contents, d.rec.blobs, length)
	}
	return p, nil
}

// lengthHere returns the length of a log as far as this device knows it.
func (s *Space) lengthHere(ctx context.Context, key hypercrypto.Key) (uint64, error) {
	core, err := s.store.Get(ctx, corestore.GetOptions{Key: &key, Passive: true})
	if err != nil {
		return 0, err
	}
	return core.Length(), core.Close()
}

// Logs returns the logs of the space; see [Parts.Logs].
func (s *Space) Logs(ctx context.Context) (map[hypercrypto.Key]uint64, error) {
	p, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	return p.Logs(), nil
}

// FetchOperations fetches the operations that this device does not have, because it came
// later and began with the signed state. It waits for peers that have them until ctx ends.
func (s *Space) FetchOperations(ctx context.Context) error {
	p, err := s.Parts(ctx)
	if err != nil {
		return err
	}
	for key, length := range p.Operations {
		if err := s.fetchLog(ctx, key, length); err != nil {
			return fmt.Errorf("fetch operations of space %q: %w", s.Name(), err)
		}
	}
	return nil
}

func (s *Space) fetchLog(ctx context.Context, key hypercrypto.Key, length uint64) (err error) {
	core, err := s.store.Get(ctx, corestore.GetOptions{Key: &key, Passive: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	if core.Has(0, length) {
		return nil
	}
	core.SetActive(true)
	d := core.Download(hypercore.Range{End: length})
	defer d.Close()
	return d.Wait(ctx)
}

// isBlobLog tells whether a log is known to be one of contents. Mirrors announce all logs
// of a space, and those are none of writers.
func (s *Space) isBlobLog(log hypercrypto.Key) bool {
	if log == s.blobs.Key() {
		return true
	}
	if s.running.Load() == nil {
		return false // there is no state yet
	}
	tree, release := s.snaps.use()
	defer release()
	devices, err := records{tree}.devices(context.Background())
	return err == nil && slices.ContainsFunc(devices, func(d named[hypercrypto.Key, device]) bool { return d.rec.blobs == log })
}

// linkedLogs returns the logs that the core of the base's system view names.
func (s *Space) linkedLogs() ([]hypercrypto.Key, error) {
	core, err := s.base.System()
	if err != nil {
		return nil, s.explain(err)
	}
	defer core.Close()
	if m := core.Manifest(); m != nil {
		return m.Linked, nil
	}
	return nil, nil
}

// Logs returns the logs of all spaces; see [Space.Logs].
func (l *Library) Logs(ctx context.Context) (map[hypercrypto.Key]uint64, error) {
	all := make(map[hypercrypto.Key]uint64)
	for _, s := range l.Spaces() {
		logs, err := s.Logs(ctx)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, logs)
	}
	return all, nil
}
