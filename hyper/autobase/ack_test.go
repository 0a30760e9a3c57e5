package autobase

import (
	"context"
	"testing"
)

// ackRounds lets those acknowledge who find that it helps, one after the other or
// all at once before they hear of each other, until nobody does.
func (p *pair) ackRounds(atOnce bool) {
	p.t.Helper()
	for range 100 {
		p.sync()
		any := false
		for _, b := range p.bases {
			b.mu.Lock()
			needed := b.e.ackNeeded()
			b.mu.Unlock()
			if !needed {
				continue
			}
			any = true
			if err := b.Ack(context.Background()); err != nil {
				p.t.Fatal(err)
			}
			if !atOnce {
				p.sync()
			}
		}
		if !any {
			return
		}
		atOnce = false // who always speaks at once with another is not understood
	}
	p.t.Fatal("they acknowledge for ever")
}

// part is some of the peers.
func (p *pair) part(numbers ...int) *pair {
	q := &pair{t: p.t}
	for _, i := range numbers {
		q.stores, q.bases, q.apps = append(q.stores, p.stores[i]), append(q.bases, p.bases[i]), append(q.apps, p.apps[i])
	}
	return q
}

// Acknowledgements stop when they cannot lead anywhere.
func TestAcksEndWithoutAMajority(t *testing.T) {
	p := newPeers(t, 5, Options{})
	for i := 1; i < 5; i++ {
		p.append(0, opAdd(p.bases[i].LocalKey(), true))
		p.sync()
	}
	p.ackRounds(false)
	p.append(0, opLog("all"))
	p.ackRounds(false)
	if s := p.bases[3].Status(); s.Views[0].Length != 1 || s.Views[0].Signed != 1 {
		t.Fatalf("with all indexers: %+v", s)
	}
	two := p.part(0, 1)
	two.append(0, opLog("two"))
	two.ackRounds(false)
	if s := two.bases[1].Status(); s.Views[0].Length != 2 || s.Views[0].Signed != 1 {
		t.Fatalf("with two of five: %+v", s)
	}
	// With the others there again, one word of theirs is enough to go on.
	p.ackRounds(false)
	if s := p.bases[3].Status(); s.Views[0].Signed != 2 {
		t.Fatalf("after the return: %+v", s)
	}
}

// A change of members touches no view but the system view. Once it is confirmed all
// that is left are acknowledgements; it is signed all the same, and a second change
// does not wait for that.
func TestAcksAloneSignAChangeOfMembers(t *testing.T) {
	p := newPeers(t, 4, Options{})
	for i := 1; i < 3; i++ {
		p.append(0, opAdd(p.bases[i].LocalKey(), true))
		p.ackRounds(false)
	}
	for _, op := range [][]byte{opAdd(p.bases[3].LocalKey(), false), opRemove(p.bases[3].LocalKey())} {
		r, err := p.bases[1].ChangeMembers(context.Background(), op)
		if err != nil {
			t.Fatal(err)
		}
		p.ackRounds(false)
		if !closed(r.Confirmed()) || !closed(r.Signed()) {
			t.Fatalf("after acknowledgements: %+v", p.bases[1].Status())
		}
	}
}

// Indexers that acknowledge the same value at the same moment, and then each
// other's acknowledgements again at the same moment, confirm it by more of them.
func TestAcksThatCrossConfirmInTheEnd(t *testing.T) {
	p := newPeers(t, 3, Options{})
	p.append(0, opAdd(p.bases[1].LocalKey(), true))
	p.ackRounds(false)
	p.append(0, opAdd(p.bases[2].LocalKey(), false))
	p.ackRounds(false)
	r := p.append(2, opLog("by a plain writer"))[0]
	p.sync()
	for range 2 {
		for _, b := range p.bases[:2] {
			if err := b.Ack(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		p.sync()
	}
	if closed(r.Confirmed()) {
		t.Fatal("confirmed by acknowledgements that crossed")
	}
	p.ackRounds(true)
	if !closed(r.Confirmed()) || !closed(r.Signed()) {
		t.Fatalf("after more acknowledgements: %+v", p.bases[2].Status())
	}
}
