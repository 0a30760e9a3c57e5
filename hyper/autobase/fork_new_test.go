package autobase

import (
	"context"
	"encoding/hex"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The only indexer is gone. A device that was no member goes on.
func TestANewDeviceForks(t *testing.T) {
	for _, secret := range []*hypercrypto.EncryptionKey{nil, {1, 2, 3}} {
		o := Options{EncryptionKey: secret, Optimistic: true}
		p := newPeers(t, 4, o)
		p.append(0, opAdd(p.bases[3].LocalKey(), false), opPut("k", "before"))
		p.sync()
		p.append(3, opPut("j", "not confirmed"))
		p.sync()
		p.settle(2)
		// What the lost one wrote at last, nobody has.
		p.append(0, opPut("k", "lost"))
		left := &pair{t: t, stores: p.stores[1:], bases: p.bases[1:], apps: p.apps[1:]}
		p.append(3, opPut("i", "not confirmed"))
		left.sync()
		s := left.agree("before the fork")
		k := left.bases[0].LocalKey()
		yes := true
		op := testOp{Add: hex.EncodeToString(k[:]), Indexer: &yes, Fork: &testFork{Key: s.System.Hex(), Length: s.Confirmed, Indexers: []string{k.Hex()}}}
		r, err := left.bases[0].AppendOptimistic(context.Background(), opJSON(op))
		if err != nil || r.Outcome().Err != nil || r.Outcome().Ignored {
			t.Fatalf("%v, %+v", err, r.Outcome())
		}
		f := left.bases[0].Status()
		if f.System == s.System || len(f.Indexers) != 1 || f.Indexers[0].Key != k || !f.Writable {
			t.Fatalf("after the fork: %+v", f)
		}
		for _, b := range p.bases {
			if err := b.Hint(context.Background(), k, 1); err != nil {
				t.Fatal(err)
			}
		}
		left.sync()
		left.agree("fork")
		left.append(0, opPut("k", "after"))
		left.sync()
		left.settle(3)
		f = left.agree("after the fork")
		if f.Signed <= s.Confirmed || f.Confirmed < f.Tip-2 {
			t.Fatalf("after the fork: %+v", f)
		}
		for i, b := range left.bases {
			if err := b.Check(context.Background(), (&testApp{}).handlers()); err != nil {
				t.Fatalf("base %d: %v", i, err)
			}
			key, before := b.Key(), left.text(i)
			if err := left.reopen(i, &key, o); err != nil {
				t.Fatal(err)
			}
			if after := left.text(i); after != before {
				t.Fatalf("base %d after a restart:\n%s\n%s", i, before, after)
			}
		}
		left.append(2, opPut("j", "goes on"))
		left.sync()
		left.settle(2)
		left.agree("goes on")
		for key, want := range map[string]string{"i": "not confirmed", "j": "goes on", "k": "after"} {
			if v, ok, err := left.apps[1].kv.Get(context.Background(), []byte(key)); err != nil || !ok || string(v.Value) != want {
				t.Errorf("%s is %q, %v", key, v.Value, err)
			}
		}
		// The lost one comes back.
		p.bases, p.stores, p.apps = append(p.bases[:1], left.bases...), append(p.stores[:1], left.stores...), append(p.apps[:1], left.apps...)
		p.sync()
		p.settle(3)
		p.agree("back")
	}
}
