package autobase

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// pair are peers in one process whose logs are copied by hand.
type pair struct {
	t      testing.TB
	stores []*corestore.Store
	bases  []*Base
	apps   []*testApp
}

func newPeers(t testing.TB, n int, o Options) *pair {
	t.Helper()
	return newPeersOf(t, n, func(int) Options { return o })
}

func newPeersOf(t testing.TB, n int, of func(i int) Options) *pair {
	t.Helper()
	p := &pair{t: t}
	ctx := context.Background()
	var boot *hypercrypto.Key
	for i := range n {
		s, err := corestore.Open(ctx, t.TempDir(), &corestore.Options{PrimaryKey: &[32]byte{byte(i + 1)}, Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		app := &testApp{}
		o := of(i)
		o.AckInterval, o.NoForward = -1, true
		b, err := Open(ctx, s, boot, app.handlers(), &o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close(); s.Close() })
		k := b.Key()
		boot = &k
		p.stores, p.bases, p.apps = append(p.stores, s), append(p.bases, b), append(p.apps, app)
	}
	return p
}

// logAt opens the log of peer i in the store of peer j, writable.
func (p *pair) logAt(i, j int) *hypercore.Core {
	p.t.Helper()
	c, err := p.stores[j].Get(context.Background(), corestore.GetOptions{KeyPair: p.stores[i].KeyPair("local")})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// sync gives everybody all logs.
func (p *pair) sync() {
	p.t.Helper()
	ctx := context.Background()
	for again := true; again; {
		again = false
		for i := range p.stores {
			src := p.logAt(i, i)
			for j := range p.stores {
				dst := p.logAt(i, j)
				for n := dst.Length(); n < src.Length(); n++ {
					b, err := src.GetRaw(ctx, n)
					if err == nil {
						_, err = dst.Append(ctx, b)
					}
					if err != nil {
						p.t.Fatal(err)
					}
					again = true
				}
				dst.Close()
				if _, err := p.bases[j].Update(ctx); err != nil {
					p.t.Fatal(err)
				}
			}
			src.Close()
		}
	}
}

func (p *pair) append(i int, values ...[]byte) []*Receipt {
	p.t.Helper()
	r, err := p.bases[i].Append(context.Background(), values...)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestReceiptsFollowAValue(t *testing.T) {
	p := newPeers(t, 2, Options{})
	r := p.append(0, opAdd(p.bases[1].LocalKey(), true))[0]
	if !closed(r.Visible()) || !closed(r.Confirmed()) {
		t.Fatal("the only indexer's value is not confirmed at once")
	}
	p.sync()
	// Both put a note; the one with the greater key moves when they meet.
	var rs []*Receipt
	for i := range p.bases {
		rs = append(rs, p.append(i, opJSON(testOp{Note: fmt.Sprint("note ", i), Put: []string{"k", fmt.Sprint(i)}}))[0])
	}
	bad := p.append(1, opJSON(testOp{Throw: "no"}))[0]
	for i, r := range rs {
		if o := r.Outcome(); !closed(r.Visible()) || closed(r.Confirmed()) || string(o.Note) != fmt.Sprint("note ", i) {
			t.Fatalf("before the merge: %+v", o)
		}
	}
	p.sync()
	for range 3 {
		for _, b := range p.bases {
			if err := b.Ack(context.Background()); err != nil {
				t.Fatal(err)
			}
			p.sync()
		}
	}
	for i, r := range append(rs, bad) {
		o, err := r.Wait(context.Background())
		if err != nil || !o.Confirmed || !o.Signed || !closed(r.Signed()) || o.Changed {
			t.Fatalf("value %d at the end: %+v, %v", i, o, err)
		}
	}
	if o := bad.Outcome(); o.Err == nil {
		t.Fatalf("the refused value: %+v", o)
	}
	if p.bases[0].Err() != nil || p.bases[0].Status().Hash != p.bases[1].Status().Hash {
		t.Fatal("a refused value stopped a base, or peers differ")
	}
}

func TestRefusedValuesHaveNoEffect(t *testing.T) {
	p := newPeers(t, 1, Options{})
	k := "half done"
	p.append(0, opLog("one"), opJSON(testOp{Log: &k, Throw: "after writing"}), opLog("three"))
	p.append(0, []byte("no json"), opPut("a", "b"))
	p.append(0, opLog("four"))
	if n := p.apps[0].log.Length(); n != 1 {
		t.Fatalf("the view has %d blocks", n)
	}
	if err := p.bases[0].Check(context.Background(), new(testApp).handlers()); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptStopsOnlyThisPeer(t *testing.T) {
	p := newPeers(t, 1, Options{})
	p.append(0, opLog("one"))
	_, err := p.bases[0].Append(context.Background(), opJSON(testOp{Interrupt: "update me"}))
	if !errors.Is(err, ErrInterrupted) || !errors.Is(p.bases[0].Err(), ErrInterrupted) {
		t.Fatalf("the base goes on: %v, %v", err, p.bases[0].Err())
	}
}

func TestCheckFindsAnApplicationThatIsNoFunction(t *testing.T) {
	p := newPeers(t, 1, Options{})
	for i := range 20 {
		p.append(0, opLog("entry %d", i), opPut("k", fmt.Sprint(i)))
	}
	if err := p.bases[0].Check(context.Background(), new(testApp).handlers()); err != nil {
		t.Fatal(err)
	}
	app := new(testApp)
	h := app.handlers()
	h.Apply = func(ctx context.Context, nodes []Node, host *Host) error {
		if nodes[0].Length == 15 {
			return errors.New("the wind has changed")
		}
		return app.apply(ctx, nodes, host)
	}
	if err := p.bases[0].Check(context.Background(), h); !errors.Is(err, ErrDiffers) {
		t.Fatalf("not found: %v", err)
	}
}

func TestMembersChangeOneAtATime(t *testing.T) {
	p := newPeers(t, 3, Options{})
	ctx := context.Background()
	if _, err := p.bases[0].ChangeMembers(ctx, opAdd(p.bases[1].LocalKey(), true)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := p.bases[0].ChangeMembers(short, opAdd(p.bases[2].LocalKey(), true)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second change while the first is pending: %v", err)
	}
	p.sync()
	for range 2 {
		for _, b := range p.bases[:2] {
			if err := b.Ack(ctx); err != nil {
				t.Fatal(err)
			}
			p.sync()
		}
	}
	if _, err := p.bases[0].ChangeMembers(ctx, opAdd(p.bases[2].LocalKey(), true)); err != nil {
		t.Fatal(err)
	}
	p.sync()
	if _, err := p.bases[1].Append(ctx, opRemove(p.bases[0].LocalKey()), opRemove(p.bases[1].LocalKey())); err != nil {
		t.Fatal(err)
	}
}

// A log with a bad node is read up to that node; all others go on.
func TestBadNodesStopOnlyTheirLog(t *testing.T) {
	ctx := context.Background()
	good := func(p *pair) oplog.Ref { return oplog.Ref{Key: p.bases[0].Key(), Length: 1} }
	for name, bad := range map[string]func(p *pair, own hypercrypto.Key) [][]byte{
		"garbage":     func(*pair, hypercrypto.Key) [][]byte { return [][]byte{{9, 9, 9}} },
		"empty":       func(*pair, hypercrypto.Key) [][]byte { return [][]byte{{}} },
		"double head": func(p *pair, _ hypercrypto.Key) [][]byte { return [][]byte{badNode(1, good(p), good(p))} },
		"own future":  func(p *pair, k hypercrypto.Key) [][]byte { return [][]byte{badNode(1, oplog.Ref{Key: k, Length: 7})} },
		"itself":      func(p *pair, k hypercrypto.Key) [][]byte { return [][]byte{badNode(1, oplog.Ref{Key: k, Length: 2})} },
		"head zero": func(p *pair, k hypercrypto.Key) [][]byte {
			return [][]byte{badNode(1, oplog.Ref{Key: p.bases[0].Key()})}
		},
		"batch zero":    func(p *pair, _ hypercrypto.Key) [][]byte { return [][]byte{badNode(0, good(p))} },
		"endless batch": func(p *pair, _ hypercrypto.Key) [][]byte { return [][]byte{badNode(1<<40, good(p))} },
		"wrong count": func(p *pair, k hypercrypto.Key) [][]byte {
			return [][]byte{badNode(3, good(p)), badNode(3, oplog.Ref{Key: k, Length: 2}), badNode(1, oplog.Ref{Key: k, Length: 3})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t, 2, Options{})
			p.append(0, opAdd(p.bases[1].LocalKey(), false))
			p.append(0, opLog("a"), opLog("b"), opLog("c"))
			p.sync()
			p.append(1, opLog("good"))
			p.sync()
			evil := p.logAt(1, 0)
			defer evil.Close()
			if _, err := evil.Append(ctx, bad(p, evil.Key())...); err != nil {
				t.Fatal(err)
			}
			// What comes after a bad node is not read either.
			if _, err := evil.Append(ctx, badNode(1, good(p))); err != nil {
				t.Fatal(err)
			}
			if _, err := p.bases[0].Update(ctx); err != nil {
				t.Fatal(err)
			}
			p.append(0, opLog("goes on"))
			s := p.bases[0].Status()
			if s.Frozen[evil.Key()] == nil || p.apps[0].log.Length() != 5 || p.bases[0].Err() != nil {
				t.Fatalf("frozen %v, %d blocks, %v", s.Frozen, p.apps[0].log.Length(), p.bases[0].Err())
			}
		})
	}
}

// Who names the middle of an append depends on all of it, whether it is confirmed
// where the node comes in or not.
func TestHeadsInABatchStandForItsEnd(t *testing.T) {
	p := newPeers(t, 4, Options{})
	ctx := context.Background()
	p.append(0, opAdd(p.bases[1].LocalKey(), false), opAdd(p.bases[2].LocalKey(), false), opAdd(p.bases[3].LocalKey(), false))
	p.sync()
	p.append(2, opLog("a"), opLog("b"), opLog("c"))
	batch := oplog.Ref{Key: p.bases[2].LocalKey(), Length: 2}
	end := oplog.Ref{Key: p.bases[2].LocalKey(), Length: 3}
	some := &pair{t: t, stores: p.stores[1:], bases: p.bases[1:], apps: p.apps[1:]}
	some.sync()
	evil := p.logAt(1, 1)
	for _, heads := range [][]oplog.Ref{{batch}, {batch, end}, {end, batch}} {
		if _, err := evil.Append(ctx, badNode(1, heads...)); err != nil {
			t.Fatal(err)
		}
	}
	evil.Close()
	// At peer 0 the append is confirmed before the nodes come in.
	early := &pair{t: t, stores: []*corestore.Store{p.stores[0], p.stores[2]}, bases: []*Base{p.bases[0], p.bases[2]}}
	early.sync()
	if err := p.bases[0].Ack(ctx); err != nil {
		t.Fatal(err)
	}
	some.sync()
	p.sync()
	p.append(0, opLog("goes on"))
	p.sync()
	for i, b := range p.bases {
		if s := b.Status(); len(s.Frozen) > 0 || s.Hash != p.bases[0].Status().Hash || p.apps[i].log.Length() != 7 {
			t.Fatalf("peer %d: %d blocks, %+v", i, p.apps[i].log.Length(), s)
		}
	}
}

func badNode(batch uint64, heads ...oplog.Ref) []byte {
	return (&oplog.Block{Heads: heads, Batch: batch, Value: opLog("bad")}).AppendTo(nil)
}

func FuzzAnnouncement(f *testing.F) {
	f.Add(appendAnnouncement(nil, []oplog.Ref{{Key: hypercrypto.Key{1}, Length: 5}, {Length: 1 << 40}}))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		refs, err := decodeAnnouncement(b)
		if err != nil {
			return
		}
		again, err := decodeAnnouncement(appendAnnouncement(nil, refs))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(refs) {
			t.Fatalf("%v became %v, %v", refs, again, err)
		}
	})
}
