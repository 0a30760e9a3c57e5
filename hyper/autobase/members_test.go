package autobase

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestMembersAreListed(t *testing.T) {
	p := newPeers(t, 4, Options{})
	ctx := context.Background()
	if list, err := p.bases[1].Members(ctx); err != nil || len(list) != 0 {
		t.Fatalf("of an empty base: %v, %v", list, err)
	}
	p.append(0, opAdd(p.bases[1].LocalKey(), true))
	p.ackRounds(false)
	p.append(0, opAdd(p.bases[2].LocalKey(), false), opAdd(p.bases[3].LocalKey(), false))
	p.ackRounds(false)
	p.append(3, opLog("before the end"))
	p.append(0, opRemove(p.bases[3].LocalKey()))
	p.ackRounds(false)
	// A change that is not confirmed counts.
	p.append(1, opRemove(p.bases[2].LocalKey()))
	for i, b := range p.bases[:2] {
		want := []Writer{
			{p.bases[0].LocalKey(), Member{Indexer: true}}, {p.bases[1].LocalKey(), Member{Indexer: true}},
			{p.bases[2].LocalKey(), Member{Removed: i == 1}}, {p.bases[3].LocalKey(), Member{Removed: true}},
		}
		slices.SortFunc(want, func(a, b Writer) int { return bytes.Compare(a.Key[:], b.Key[:]) })
		got, err := b.Members(ctx)
		if err != nil || len(got) != len(want) {
			t.Fatalf("base %d: %+v, %v", i, got, err)
		}
		for j, w := range got {
			r, ok, err := b.Member(ctx, w.Key)
			if err != nil || !ok || r != w.Member {
				t.Fatalf("base %d: %+v, alone %+v, %v, %v", i, w, r, ok, err)
			}
			w.Length = 0
			if w != want[j] {
				t.Fatalf("base %d: %+v, want %+v", i, w, want[j])
			}
		}
	}
	if _, ok, err := p.bases[0].Member(ctx, hypercrypto.Key{1}); ok || err != nil {
		t.Fatalf("a stranger has a record: %v", err)
	}
}
