package interop

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// reconnect ends all connections and makes new ones.
func reconnect(t *testing.T, peers ...basePeer) {
	t.Helper()
	for _, p := range peers {
		p.cut(t)
	}
	mesh(t, peers...)
}

func TestBasesMergeWhatWasWrittenApart(t *testing.T) {
	for _, kinds := range []string{"gjg", "jgj"} {
		t.Run(kinds, func(t *testing.T) {
			peers := startBases(t, kinds, 3, baseOptions{})
			settleBase(t, peers...)
			for round := range 2 {
				for _, p := range peers {
					p.cut(t)
				}
				for i, p := range peers {
					for n := range 20 {
						p.append(t, baseOp{Log: fmt.Sprint(p.name(), " ", round, " ", n)}, baseOp{Put: []string{fmt.Sprint("shared", n), p.name()}})
						if n%7 == i {
							p.append(t, baseOp{Del: fmt.Sprint("shared", n-1)})
						}
					}
				}
				mesh(t, peers...)
				s := settleBase(t, peers...)
				if want := uint64(60 * (round + 1)); s.Views["log"].Length != want || s.Views["log"].Signed != want {
					t.Fatalf("after merge %d: %s", round, s.text())
				}
			}
		})
	}
}

func TestBasesChangeMembersFromEitherSide(t *testing.T) {
	for _, kinds := range []string{"gjgj", "jgjg"} {
		t.Run(kinds, func(t *testing.T) {
			peers := startBases(t, kinds, 2, baseOptions{})
			for i, p := range peers {
				p.append(t, baseOp{Log: fmt.Sprint("hello ", i)})
			}
			settleBase(t, peers...)
			// The second promotes the third, which has written already.
			peers[1].append(t, addOp(peers[2].local(), true))
			converge(t, "promotion", func(s baseState) bool { return len(s.Indexers) == 3 }, peers...)
			settleBase(t, peers...)
			// The third removes the plain writer and then the first indexer.
			peers[2].append(t, baseOp{Remove: peers[3].local()})
			converge(t, "removal of a writer", func(s baseState) bool { return s.Members == 3 }, peers...)
			settleBase(t, peers[:3]...)
			peers[2].append(t, baseOp{Remove: peers[0].local()})
			converge(t, "removal of an indexer", func(s baseState) bool { return s.Members == 2 && len(s.Indexers) == 2 }, peers...)
			for range 3 {
				for _, p := range peers[:3] {
					p.ack(t)
					converge(t, "ack", nil, peers...)
				}
			}
			for i, p := range peers[1:3] {
				p.append(t, baseOp{Log: fmt.Sprint("after ", i)})
			}
			s := settleBase(t, peers[1:3]...)
			if s.Views["log"].Length != 6 || s.Views["log"].Signed != 6 {
				t.Fatalf("at the end: %s", s.text())
			}
			// Who comes back writes again.
			peers[1].append(t, addOp(peers[3].local(), false))
			converge(t, "return", func(s baseState) bool { return s.Members == 3 }, peers...)
			peers[3].append(t, baseOp{Log: "again"})
			converge(t, "after the return", func(s baseState) bool { return s.Views["log"].Length == 7 }, peers...)
		})
	}
}

// A JavaScript peer that hears of a log, and then of the node that made its owner an indexer, opens the log, begins an epoch and
// forgets the log. It hears of it again.
func TestPeersThatWereAwayLearnOfANewIndexer(t *testing.T) {
	for _, kinds := range []string{"jgjg", "ggj"} {
		t.Run(kinds, func(t *testing.T) {
			peers := openBases(t, kinds, baseOptions{})
			mesh(t, peers...)
			away := peers[2].(*jsBase)
			away.pause(t)
			peers[0].append(t, addOp(peers[1].local(), true))
			joined := func(s baseState) bool { return len(s.Pending) == 0 && s.Members == 2 }
			converge(t, "joining", joined, append(peers[:2:2], peers[3:]...)...)
			away.resume(t)
			converge(t, "return", joined, peers...)
		})
	}
}

func TestBasesSurviveRestarts(t *testing.T) {
	for _, secret := range []string{"", seedHex(0x77)} {
		t.Run(fmt.Sprint("encrypted ", secret != ""), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			peers := startBases(t, "gjg", 2, baseOptions{encryption: secret})
			n := 0
			for round := range 4 {
				for range 6 {
					n++
					peers[r.IntN(3)].append(t, baseOp{Log: fmt.Sprint("entry ", n)}, baseOp{Put: []string{fmt.Sprint("k", r.IntN(9)), fmt.Sprint(n)}})
				}
				if round%2 == 0 {
					settleBase(t, peers...)
				} else {
					converge(t, "before the restart", nil, peers...)
				}
				before := peers[round%3].state(t)
				peers[round%3].restart(t)
				if after := peers[round%3].state(t); after.System.Hash != before.System.Hash || after.Views["kv"].Hash != before.Views["kv"].Hash {
					t.Fatalf("%s after the restart: %s, before: %s", peers[round%3].name(), after.text(), before.text())
				}
				reconnect(t, peers...)
			}
			s := settleBase(t, peers...)
			if s.Views["log"].Length != uint64(n) || s.Views["log"].Signed != uint64(n) {
				t.Fatalf("at the end: %s", s.text())
			}
		})
	}
}

// A device that gets new keys goes on as another writer.
func TestJavaScriptFollowsAReplacedLog(t *testing.T) {
	for _, secret := range []string{"", seedHex(0x77)} {
		t.Run(fmt.Sprint("encrypted ", secret != ""), func(t *testing.T) {
			peers := startBases(t, "jg", 1, baseOptions{encryption: secret})
			g := peers[1].(*goBase)
			g.append(t, baseOp{Log: "by the first log"})
			converge(t, "first log", nil, peers...)
			first := g.local()
			if err := g.base.SetLocal(testContext(t), seedPair(0x55)); err != nil {
				t.Fatal(err)
			}
			peers[0].append(t, baseOp{Remove: first}, addOp(g.local(), true))
			converge(t, "replacement", func(s baseState) bool { return s.Members == 2 && len(s.Indexers) == 2 }, peers...)
			g.append(t, baseOp{Log: "by the second log"})
			settleBase(t, peers...)
			second := g.local()
			g.restart(t)
			if g.local() != second {
				t.Fatalf("after a restart the own log is %s, not %s", g.local(), second)
			}
			reconnect(t, peers...)
			g.append(t, baseOp{Log: "after a restart"})
			s := settleBase(t, peers...)
			if s.Views["log"].Length != 3 || s.Views["log"].Signed != 3 {
				t.Fatalf("at the end: %s", s.text())
			}
		})
	}
}

func TestAnchorsAreTheSameEverywhere(t *testing.T) {
	for _, secret := range []string{"", seedHex(0x77)} {
		t.Run(fmt.Sprint("encrypted ", secret != ""), func(t *testing.T) {
			peers := startBases(t, "gjg", 2, baseOptions{encryption: secret})
			for i, p := range peers {
				p.append(t, baseOp{Log: fmt.Sprint("entry ", i)}, baseOp{Anchor: true})
				converge(t, "anchor", func(s baseState) bool { return s.Members == uint64(len(peers)+i+1) }, peers...)
			}
			s := settleBase(t, peers...)
			if s.Views["log"].Signed != 3 {
				t.Fatalf("at the end: %s", s.text())
			}
		})
	}
}

func TestOutsidersAreHeardOptimistically(t *testing.T) {
	for _, kinds := range []string{"gjg", "jgj"} {
		t.Run(kinds, func(t *testing.T) {
			opts := baseOptions{optimistic: true}
			peers := startBases(t, kinds[:2], 2, opts)
			settleBase(t, peers...)
			var out basePeer
			if kinds[2] == 'g' {
				g := startGoBase(t, 3, peers[0].key(), opts)
				mesh(t, append(peers, g)...)
				op := []byte(`{"ack":true,"log":"from outside"}`)
				if _, err := g.base.AppendOptimistic(testContext(t), op); err != nil {
					t.Fatal(err)
				}
				out = g
			} else {
				j := startJSBase(t, 3, peers[0].key(), opts)
				mesh(t, append(peers, j)...)
				j.Call(t, "append", Args{"ops": []baseOp{{Ack: true, Log: "from outside"}}, "optimistic": true})
				out = j
			}
			for _, p := range peers {
				switch p := p.(type) {
				case *goBase:
					if err := p.base.Hint(testContext(t), parseKey(t, out.local()), 1); err != nil {
						t.Fatal(err)
					}
				case *jsBase:
					// Nobody announces the log of a stranger who has not been heard yet, and JavaScript may forget a hint; see docs/protocol/autobase.md.
					for end := time.Now().Add(patience); p.state(t).Views["log"].Length == 0 && time.Now().Before(end); {
						p.Call(t, "hint", Args{"key": out.local()})
						time.Sleep(200 * time.Millisecond)
					}
				}
			}
			all := append(peers, out)
			converge(t, "optimistic node", func(s baseState) bool { return s.Views["log"].Length == 1 && s.Members == 2 }, all...)
			s := settleBase(t, peers...)
			if s.Views["log"].Signed != 1 {
				t.Fatalf("at the end: %s", s.text())
			}
		})
	}
}
