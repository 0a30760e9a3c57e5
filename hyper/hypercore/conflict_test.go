package hypercore

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// A signed state of the log's own history proves nothing against it, however a
// stranger dresses it up: with a node too many, or with bytes moved between
// siblings, whose sizes the signature covers only as a sum.
func TestOwnHistoryIsNoConflict(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 40)...)
	l := w.log
	h := l.state()
	state := func(length uint64) wire.Data {
		p, err := h.Tree.Prove(l, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: length}}, l.prologue())
		if err != nil {
			t.Fatal(err)
		}
		p.Upgrade.Signature = h.signature
		return wire.Data{Proof: *p}
	}
	for name, change := range map[string]func(*merkle.UpgradePart){
		"unchanged":       func(*merkle.UpgradePart) {},
		"a node too many": func(u *merkle.UpgradePart) { u.Nodes = append(u.Nodes, u.Nodes[0]) },
		"bytes moved": func(u *merkle.UpgradePart) {
			// Node 60 is the leaf of block 30; what completes its parent is the first
			// additional node.
			u.Nodes[len(u.Nodes)-1].Size++
			u.Additional[0].Size--
		},
	} {
		d := state(31)
		change(d.Upgrade)
		if _, err := (&merkle.Verifier{Key: l.key, Rules: l.rules}).Full(&d.Proof); err != nil {
			t.Logf("%s: refused: %v", name, err)
		}
		r := &received{body: copyBody(nil), Data: d, peer: &Peer{repl: l.repl}}
		l.change.Lock()
		l.repl.conflict(r, &h)
		l.change.Unlock()
		if w.Info().Frozen {
			t.Fatalf("%s: frozen", name)
		}
		own := state(31)
		e := &Evidence{Local: own.AppendTo(nil), Remote: d.AppendTo(nil)}
		if err := VerifyEvidence(w.Key(), w.Manifest(), e); err == nil {
			t.Errorf("%s: taken for evidence", name)
		}
	}
}
