package filetree

import (
	"context"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// snapshotRecord is a named place in the order.
type snapshotRecord struct {
	seq uint64
	by  stamp
}

func (s *snapshotRecord) append(b []byte) []byte {
	return appendStamp(compact.AppendUint(b, s.seq), s.by)
}

func readSnapshot(r *compact.Reader) (s snapshotRecord) {
	s.seq = r.Uint()
	s.by = readStamp(r)
	return s
}

// snapshotPositions returns the places in the order that have a name.
func (t *tx) snapshotPositions(ctx context.Context) (out []uint64, err error) {
	if t.n.snapshots == 0 {
		return nil, nil
	}
	for kv, err := range t.Entries(ctx, all(keySnapshot)) {
		if err != nil {
			return nil, err
		}
		s, err := decode(kv.Value, readSnapshot)
		if err != nil {
			return nil, err
		}
		out = append(out, s.seq)
	}
	return out, nil
}

// takeSnapshot applies TakeSnapshot.
func (t *tx) takeSnapshot(ctx context.Context, c *Change) error {
	key := nameKey(keySnapshot, c.Name)
	_, ok, err := t.Get(ctx, key)
	switch {
	case err != nil:
		return err
	case ok:
		return t.skip(ctx, c, Taken)
	case t.n.snapshots >= MaxSnapshots:
		return t.skip(ctx, c, TooLarge)
	}
	t.n.snapshots++
	return t.s.Put(ctx, key, (&snapshotRecord{seq: t.n.ops, by: t.now}).append(nil))
}

// dropSnapshot applies DropSnapshot.
func (t *tx) dropSnapshot(ctx context.Context, c *Change) error {
	key := nameKey(keySnapshot, c.Name)
	_, ok, err := t.Get(ctx, key)
	if err != nil {
		return err
	}
	if !ok {
		return t.skip(ctx, c, NotThere)
	}
	t.n.snapshots--
	return t.s.Del(ctx, key)
}

// Snapshot is a place in the order that has a name.
type Snapshot struct {
	Name string
	// Seq is the position of the operation that took it.
	Seq uint64
	// By is the device that took it, At when.
	By hypercrypto.PublicKey
	At time.Time
}

// Snapshots yields the snapshots in the order of their names.
func (v *View) Snapshots(ctx context.Context) iter.Seq2[Snapshot, error] {
	return func(yield func(Snapshot, error) bool) {
		for kv, err := range v.Entries(ctx, all(keySnapshot)) {
			var s Snapshot
			if err == nil {
				s, err = v.snapshotOf(ctx, kv)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (v *View) snapshotOf(ctx context.Context, kv hyperbee.Entry) (Snapshot, error) {
	s, err := decode(kv.Value, readSnapshot)
	if err != nil {
		return Snapshot{}, err
	}
	d, err := v.deviceOf(ctx, s.by.device)
	return Snapshot{Name: string(kv.Key[1:]), Seq: s.seq, By: d.key, At: clockTime(s.by.at)}, err
}

// Snapshot returns the snapshot of a name.
func (v *View) Snapshot(ctx context.Context, name string) (Snapshot, bool, error) {
	key := nameKey(keySnapshot, name)
	b, ok, err := v.Get(ctx, key)
	if !ok || err != nil {
		return Snapshot{}, false, err
	}
	s, err := v.snapshotOf(ctx, hyperbee.Entry{Key: key, Value: b})
	return s, err == nil, err
}
