package autobase

import (
	"bytes"
	"testing"
)

// A node by somebody who is no member at its place in the order, but is one again
// where somebody sees it, stays without effect, also after a restart.
func TestNodesThatArePassedOverStayWithoutEffect(t *testing.T) {
	p := newPeers(t, 3, Options{})
	// Of nodes that do not know of each other the one of the smaller key comes first.
	low, high := 1, 2
	if a, b := p.bases[low].LocalKey(), p.bases[high].LocalKey(); bytes.Compare(a[:], b[:]) > 0 {
		low, high = high, low
	}
	for i := 1; i < 3; i++ {
		p.append(0, opAdd(p.bases[i].LocalKey(), false))
	}
	p.sync()
	r := p.append(low, opLog("before it knows"))[0]
	others := p.part(0, high)
	others.append(0, opRemove(p.bases[low].LocalKey()))
	others.sync()
	others.append(1, opAdd(p.bases[low].LocalKey(), false))
	p.ackRounds(false)
	if o := r.Outcome(); !o.Ignored || !o.Confirmed || len(p.bases[0].e.passed) != 1 {
		t.Fatalf("the node of the removed member: %+v, passed %v", o, p.bases[0].e.passed)
	}
	before := p.bases[0].Status()
	if before.Signed != before.Confirmed {
		t.Fatalf("not all is signed: %+v", before)
	}
	if err := p.reopen(0, nil, Options{}); err != nil {
		t.Fatal(err)
	}
	if after := p.bases[0].Status(); after.Hash != before.Hash || after.Tip != before.Tip {
		t.Fatalf("after a restart %+v, before %+v", after, before)
	}
	// In the next epoch it is considered again, everywhere.
	p.append(0, opAdd(p.bases[high].LocalKey(), true))
	p.ackRounds(false)
	for _, b := range p.bases {
		if s := b.Status(); len(s.Indexers) != 2 || s.Views[0].Signed != 1 {
			t.Fatalf("in the next epoch: %+v", s)
		}
	}
}
