package interop

import (
	"fmt"
	"testing"
)

// A base whose indexers are gone goes on with others, who take everybody along.
func TestBasesForkFromEitherSide(t *testing.T) {
	for _, kinds := range []string{"gjgj", "jgjg"} {
		for _, secret := range []string{"", seedHex(0x77)} {
			t.Run(fmt.Sprint(kinds, " encrypted ", secret != ""), func(t *testing.T) {
				opts := baseOptions{encryption: secret}
				peers := startBases(t, kinds, 2, opts)
				for i, p := range peers {
					p.append(t, baseOp{Log: fmt.Sprint("before ", i)}, baseOp{Put: []string{fmt.Sprint("k", i), "before"}})
				}
				s := settleBase(t, peers...)
				gone, rest := peers[:2], peers[2:]
				for _, p := range peers {
					p.cut(t)
				}
				mesh(t, rest...)
				// The former indexers write nothing meanwhile: a JavaScript peer that confirmed more than the length of the fork stops.
				rest[1].append(t, baseOp{Log: "not confirmed"})
				converge(t, "before the fork", nil, rest...)
				fork := baseOp{Fork: &forkOp{Indexers: []string{rest[0].local(), rest[1].local()}, Key: s.System.Key, Length: s.Confirmed}}
				rest[0].append(t, fork)
				forked := func(f baseState) bool {
					return len(f.Indexers) == 2 && f.Indexers[0] != s.Indexers[0] && f.System.Key != s.System.Key
				}
				converge(t, "fork", forked, rest...)
				rest[1].append(t, baseOp{Log: "after"}, baseOp{Put: []string{"k0", "after"}})
				f := settleBase(t, rest...)
				if f.System.Signed <= s.Confirmed || f.Views["log"].Signed != 6 || f.Views["log"].Length != 6 {
					t.Fatalf("after the fork: %s", f.text())
				}
				// Who was away arrives at the fork, too.
				reconnect(t, peers...)
				converge(t, "return", func(r baseState) bool { return r.System == f.System }, peers...)
				settleBase(t, rest...)
				// A change of the indexers after it.
				rest[0].append(t, addOp(gone[0].local(), true))
				converge(t, "promotion", func(s baseState) bool { return len(s.Indexers) == 3 }, peers...)
				for i, p := range peers {
					p.append(t, baseOp{Log: fmt.Sprint("at the end ", i)})
				}
				settleBase(t, peers...)
				f = settleBase(t, peers...)
				if f.Views["log"].Signed != 10 {
					t.Fatalf("at the end: %s", f.text())
				}
				// Who starts again or comes later is there as well. (Whether a new JavaScript reader is depends on what it hears of first.)
				for _, p := range peers {
					p.restart(t)
				}
				peers = append(peers, startGoBase(t, 10, peers[0].key(), opts))
				late := opts
				late.fastForward = true
				peers = append(peers, startGoBase(t, 11, peers[0].key(), late))
				mesh(t, peers...)
				peers[3].append(t, baseOp{Log: "for the new readers"})
				want := converge(t, "after restarts", func(s baseState) bool { return s.Views["log"].Length == 11 }, peers[:4]...)
				for _, p := range peers[4:] {
					eventually(t, "new reader "+p.name(), func() bool {
						s := p.state(t)
						return s.System.Hash == want.System.Hash && s.Views["log"].Hash == want.Views["log"].Hash && s.Views["kv"].Hash == want.Views["kv"].Hash
					})
				}
			})
		}
	}
}
