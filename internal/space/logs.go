package space

import (
	"context"
	"fmt"
	"maps"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Logs returns the logs of the space, with the lengths that a copy of it has to have: those
// of the base and of the contents. Who keeps them all has a full copy, whether it can read
// them or not. Lengths of contents are as far as this device knows them, 0 if it does not.
func (s *Space) Logs(ctx context.Context) (map[hypercrypto.Key]uint64, error) {
	logs := make(map[hypercrypto.Key]uint64)
	need := func(k hypercrypto.Key, length uint64) { logs[k] = max(logs[k], length) }
	st := s.base.Status()
	need(st.System, st.Signed)
	for _, v := range st.Views {
		need(v.Key, v.Signed)
	}
	for _, r := range st.Heads {
		need(r.Key, r.Length)
	}
	for _, r := range st.Indexers {
		need(r.Key, r.Length)
	}
	need(s.Log(), 0)
	need(s.blobs.Key(), s.blobs.Length())
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
			need(d.key, m.Length)
		}
		need(d.rec.blobs, 0)
	}
	return logs, nil
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
