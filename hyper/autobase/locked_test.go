package autobase

import (
	"context"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// A node began an epoch as long as something was not known that comes before it. Who has no
// key of that epoch goes on when it is known.
func TestAKeyThatIsNoLongerNeededIsNotWaitedFor(t *testing.T) {
	p := newRingPeers(t, newRing(7), newRing(7), newRing())
	p.append(0, opAdd(p.bases[1].LocalKey(), false))
	p.sync()
	p.append(1, opJSON(testOp{Epoch: 7, Unless: "k"}))
	some := &pair{t: t, stores: p.stores[1:], bases: p.bases[1:], apps: p.apps[1:]}
	some.sync()
	if !p.bases[2].Status().Locked {
		t.Fatal("the reader does not wait for the key")
	}
	p.append(0, opPut("k", "v")) // the indexer's comes first
	p.sync()
	if err := p.bases[0].Ack(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.sync()
	for i, b := range p.bases {
		if s := b.Status(); s.Locked || len(s.Missing) > 0 || s.Hash != p.bases[0].Status().Hash {
			t.Errorf("peer %d: %+v", i, s)
		}
	}
}

// What has no effect because its writer was removed meanwhile is told to the application,
// also if the writer was an indexer; and the writer is told that.
func TestIgnoredValuesAreTold(t *testing.T) {
	for _, indexer := range []bool{false, true} {
		var told []string
		p := newPeersOf(t, 2, func(i int) Options {
			if i == 1 {
				return Options{}
			}
			return Options{Ignored: func(_ hypercrypto.Key, value []byte) { told = append(told, string(value)) }}
		})
		p.append(0, opAdd(p.bases[1].LocalKey(), indexer))
		p.sync()
		p.append(0, opRemove(p.bases[1].LocalKey()))
		late := p.append(1, opPut("k", "late"))[0]
		for range 3 {
			for _, b := range p.bases {
				if err := b.Ack(context.Background()); err != nil {
					t.Fatal(err)
				}
				p.sync()
			}
		}
		ignored := late.Outcome().Ignored
		if slices.Contains(told, string(opPut("k", "late"))) != ignored || !indexer && !ignored {
			t.Errorf("indexer %v: told %q, ignored %v", indexer, told, ignored)
		}
	}
}
