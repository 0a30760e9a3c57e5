package autobase

import (
	"context"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// strangers puts the logs of n people who are no members into the store of peer 0;
// the ones below have have a node.
func (p *pair) strangers(n, have int) (logs []*hypercore.Core, heads []oplog.Ref) {
	p.t.Helper()
	for i := range n {
		c, err := p.stores[0].Get(context.Background(), corestore.GetOptions{KeyPair: hypercrypto.KeyPairFromSeed([32]byte{200, byte(i), byte(i >> 8)})})
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { c.Close() })
		if i < have {
			if _, err := c.Append(context.Background(), badNode(1)); err != nil {
				p.t.Fatal(err)
			}
		}
		logs, heads = append(logs, c), append(heads, oplog.Ref{Key: c.Key(), Length: 1})
	}
	return logs, heads
}

func (p *pair) given(i int, k hypercrypto.Key) uint64 {
	p.t.Helper()
	b := p.bases[i]
	if _, err := b.Update(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.e.byKey[k].given
}

// Who was removed before a node of theirs came in may have named many logs that
// nobody knows here: they are opened a few at a time.
func TestManyUnknownLogsAreOpenedAFewAtATime(t *testing.T) {
	p := newPeers(t, 2, Options{})
	ctx := context.Background()
	removed := p.bases[1].LocalKey()
	p.append(0, opAdd(removed, false))
	p.append(0, opRemove(removed))
	logs, heads := p.strangers(5*maxNamed, 4*maxNamed)
	log := p.logAt(1, 0)
	defer log.Close()
	if _, err := log.Append(ctx, badNode(1, heads...)); err != nil {
		t.Fatal(err)
	}
	if n := p.given(0, removed); n != 0 {
		t.Fatal("a node counts before those that it names")
	}
	if n := p.bases[0].e.strange; n != 5*maxNamed {
		t.Fatalf("%d logs were opened", n)
	}
	for _, c := range logs[4*maxNamed:] {
		if _, err := c.Append(ctx, badNode(1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.given(0, removed); n != 1 {
		t.Fatal("the node still waits")
	}
	p.append(0, opLog("goes on"))
}

// Logs that do not exist hold up only who names them, and no more than a few of them
// are opened.
func TestLogsThatDoNotExistHoldUpOnlyWhoNamesThem(t *testing.T) {
	p := newPeers(t, 2, Options{})
	ctx := context.Background()
	stranger := p.bases[1].LocalKey()
	var heads []oplog.Ref
	for i := range 10 * maxNamed {
		heads = append(heads, oplog.Ref{Key: hypercrypto.Key{7, byte(i), byte(i >> 8)}, Length: 1})
	}
	log := p.logAt(1, 0)
	defer log.Close()
	if _, err := log.Append(ctx, badNode(1, heads...)); err != nil {
		t.Fatal(err)
	}
	p.append(0, opLog("first"))
	if err := p.bases[0].Hint(ctx, stranger, 1); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n := p.given(0, stranger); n != 0 {
			t.Fatal("the node counts")
		}
	}
	if n := p.bases[0].e.strange; n != maxNamed {
		t.Fatalf("%d logs were opened", n)
	}
	p.append(0, opLog("goes on"))
	if n := p.apps[0].log.Length(); n != 2 {
		t.Fatalf("the view has %d blocks", n)
	}
}
