package filetree

import (
	"context"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// prune applies Prune.
func (t *tx) prune(ctx context.Context, c *Change) error {
	until, ok := t.due(c.Retention)
	if !ok {
		return t.skip(ctx, c, NotThere)
	}
	kept, err := t.snapshotPositions(ctx)
	if err != nil {
		return err
	}
	var list []*former
	for kv, err := range t.Entries(ctx, all(keyHistory)) {
		if err != nil {
			return err
		}
		f, err := decode(kv.Value, readFormer)
		if err != nil {
			return err
		}
		orphan := f.links == 0
		if f.deleted() || f.inAny(kept) || !orphan && f.gone.at > until || c.Path != "" && !within(f.path, c.Path) {
			continue
		}
		if len(list) >= t.left {
			break // the rest is for the next one
		}
		list = append(list, &f)
	}
	for _, f := range list {
		if err := t.forget(ctx, f); err != nil {
			return err
		}
	}
	if c.Path == "" {
		if err := t.pruneOps(ctx, until, kept); err != nil {
			return err
		}
		if err := t.pruneGarbage(ctx, until); err != nil {
			return err
		}
	}
	return t.effects.add(ctx, Effect{What: Dropped, Path: c.Path})
}

// pruneOps forgets what old operations did, except what is needed to go back to a
// snapshot.
func (t *tx) pruneOps(ctx context.Context, until uint64, kept []uint64) error {
	end := t.n.ops
	for _, at := range kept {
		end = min(end, at+1)
	}
	for seq := t.n.pruned + 1; seq < end; seq++ {
		o, ok, err := get(ctx, t, numberKey(keyOp, seq), readOpRecord)
		if err != nil {
			return err
		}
		if !ok || o.maxTime > until {
			break
		}
		for i := range o.chunks {
			if err := t.s.Del(ctx, effectsKey(seq, int(i))); err != nil {
				return err
			}
		}
		o.pruned, o.chunks, o.inline = true, 0, nil
		if err := t.s.Put(ctx, numberKey(keyOp, seq), o.append(nil)); err != nil {
			return err
		}
		t.n.pruned = seq
	}
	return nil
}

// pruneGarbage forgets contents that were released long ago, as many as one operation may
// touch.
func (t *tx) pruneGarbage(ctx context.Context, until uint64) error {
	var keys [][]byte
	for kv, err := range t.Entries(ctx, all(keyGarbage)) {
		if err != nil {
			return err
		}
		if len(keys) >= 2*t.left {
			break // the rest is for the next one
		}
		seq, h, err := garbageOf(kv.Key)
		if err != nil {
			return err
		}
		if seq == t.n.ops {
			break
		}
		o, ok, err := get(ctx, t, numberKey(keyOp, seq), readOpRecord)
		if err != nil {
			return err
		}
		if !ok || o.maxTime > until {
			break
		}
		keys = append(keys, kv.Key, hashKey(h))
		t.n.garbage--
	}
	for _, key := range keys {
		if err := t.s.Del(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// garbageOf returns what a key in the list of garbage says.
func garbageOf(key []byte) (seq uint64, h hypercrypto.Hash, err error) {
	r := compact.NewReader(key)
	r.Byte()
	seq = r.Uint64BE()
	h = r.Fixed32()
	return seq, h, r.Err()
}
