package autobase

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func opFork(system hypercrypto.Key, length uint64, indexers ...hypercrypto.Key) []byte {
	f := &testFork{Key: system.Hex(), Length: length}
	for _, k := range indexers {
		f.Indexers = append(f.Indexers, k.Hex())
	}
	return opJSON(testOp{Fork: f})
}

// text is what peers must agree on.
func (p *pair) text(i int) string {
	p.t.Helper()
	s := p.bases[i].Status()
	s.Writable, s.Frozen = false, nil
	s.Pending = append([]hypercrypto.Key{}, s.Pending...)
	b, err := json.Marshal(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *pair) agree(what string) Status {
	p.t.Helper()
	for i := range p.bases {
		if a, b := p.text(0), p.text(i); a != b {
			p.t.Fatalf("%s: base %d is another\n%s\n%s", what, i, a, b)
		}
	}
	return p.bases[0].Status()
}

func (p *pair) settle(rounds int) {
	p.t.Helper()
	for range rounds {
		for _, b := range p.bases {
			if err := b.Ack(context.Background()); err != nil {
				p.t.Fatal(err)
			}
			p.sync()
		}
	}
}

// newBaseToFork returns five peers: three indexers, a writer, a reader.
func newBaseToFork(t *testing.T, o Options) (*pair, Status) {
	p := newPeers(t, 5, o)
	for i := 1; i < 4; i++ {
		p.append(0, opAdd(p.bases[i].LocalKey(), i < 3))
		p.sync()
	}
	for i := range 4 {
		p.append(i, opLog("before %d", i), opPut(fmt.Sprint("k", i), "before"))
		p.sync()
	}
	p.settle(3)
	return p, p.agree("before the fork")
}

func TestAForkReplacesAllIndexers(t *testing.T) {
	for _, secret := range []*hypercrypto.EncryptionKey{nil, {1, 2, 3}} {
		t.Run(fmt.Sprint("encrypted ", secret != nil), func(t *testing.T) {
			o := Options{EncryptionKey: secret}
			p, s := newBaseToFork(t, o)
			// Two confirm more, which the one who forks does not hear of.
			apart := &pair{t: t, stores: p.stores[:2], bases: p.bases[:2], apps: p.apps[:2]}
			for i := range 6 {
				apart.append(i%2, opLog("apart %d", i))
				apart.sync()
			}
			apart.settle(2)
			if apart.bases[0].Position().Confirmed <= s.Confirmed {
				t.Fatal("nothing was confirmed apart")
			}
			r := p.append(3, opLog("with the fork"), opFork(s.System, s.Confirmed, p.bases[3].LocalKey(), p.bases[2].LocalKey()))
			f := p.bases[3].Status()
			if f.System == s.System || len(f.Indexers) != 2 || f.Indexers[0].Key != p.bases[3].LocalKey() || len(f.Pending) != 0 || !closed(r[0].Visible()) {
				t.Fatalf("after the fork: %+v", f)
			}
			p.append(3, opLog("after the fork"))
			p.sync()
			p.settle(3)
			f = p.agree("fork")
			if n := p.apps[0].log.Length(); n != 4+6+2 || f.Signed <= s.Confirmed {
				t.Fatalf("%d entries, %d blocks are signed", n, f.Signed)
			}
			if !closed(r[0].Signed()) {
				t.Fatal("the value that came with the fork is not signed")
			}
			// The former core does not fork again, and a fork can follow a fork.
			p.append(2, opFork(s.System, s.Confirmed, p.bases[2].LocalKey()))
			p.sync()
			if g := p.agree("refused fork"); g.System != f.System {
				t.Fatal("the former core was forked again")
			}
			p.settle(2)
			f = p.agree("before the second fork")
			p.append(0, opFork(f.System, f.Confirmed, p.bases[0].LocalKey(), p.bases[1].LocalKey(), p.bases[2].LocalKey()))
			p.sync()
			p.append(1, opPut("k0", "twice"))
			p.sync()
			p.settle(3)
			if g := p.agree("second fork"); len(g.Indexers) != 3 || g.Signed <= f.Confirmed {
				t.Fatalf("after the second fork: %+v", g)
			}
			p.append(2, opRemove(p.bases[1].LocalKey()))
			p.sync()
			p.settle(3)
			p.append(0, opLog("at the end"))
			p.sync()
			p.settle(2)
			p.agree("another epoch")
			for i, b := range p.bases {
				fresh := &testApp{}
				if err := b.Check(context.Background(), fresh.handlers()); err != nil {
					t.Fatalf("base %d: %v", i, err)
				}
				before := p.text(i)
				key := b.Key()
				if err := p.reopen(i, &key, o); err != nil {
					t.Fatal(err)
				}
				if after := p.text(i); after != before {
					t.Fatalf("base %d after a restart:\n%s\n%s", i, before, after)
				}
			}
			p.append(0, opLog("after restarts"))
			p.sync()
			p.settle(2)
			p.agree("restarts")

			// A new reader jumps to the last fork.
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			store, err := corestore.Open(ctx, t.TempDir(), &corestore.Options{Relaxed: true})
			if err != nil {
				t.Fatal(err)
			}
			app, key := &testApp{}, p.bases[0].Key()
			b, err := Open(ctx, store, &key, app.handlers(), &Options{AckInterval: -1, EncryptionKey: secret})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close(); store.Close() })
			connect(t, p.bases[0], b)
			for at := b.Position(); app.log.TreeHash() != p.apps[0].log.TreeHash(); {
				if at, err = b.WaitChange(ctx, at); err != nil {
					t.Fatal(err)
				}
			}
			if v, ok, err := app.kv.Get(ctx, []byte("k0")); err != nil || !ok || string(v.Value) != "twice" {
				t.Fatalf("k0 is %q, %v", v.Value, err)
			}
		})
	}
}

func TestWhatCannotBeForkedIsNot(t *testing.T) {
	p, s := newBaseToFork(t, Options{})
	a, writer, reader := p.bases[0].LocalKey(), p.bases[3].LocalKey(), p.bases[4].LocalKey()
	for _, f := range [][]byte{
		opFork(hypercrypto.Key{1}, s.Confirmed, a),
		opFork(s.System, s.Tip+100, a),
		opFork(s.System, s.Confirmed-1, a),
		opFork(s.System, 0, a),
		opFork(s.System, s.Confirmed),
		opFork(s.System, s.Confirmed, a, a),
		opFork(s.System, s.Confirmed, writer, reader),
		opFork(s.System, 3, writer),
	} {
		p.append(0, f)
		if n := len(p.apps[0].forks); p.apps[0].forks[n-1] {
			t.Errorf("forked by %s", f)
		}
	}
	// An append that is refused takes its fork with it.
	p.append(0, opFork(s.System, s.Confirmed, a), opJSON(testOp{Throw: "no"}))
	p.sync()
	if f := p.agree("no fork"); f.System != s.System || len(f.Indexers) != 3 {
		t.Fatalf("forked: %+v", f)
	}
}

func FuzzDescriptor(f *testing.F) {
	f.Add(appendDescriptor(nil, [32]byte{1, 2, 3}))
	f.Add([]byte{1, 32})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeDescriptor(b)
		if err == nil && !bytes.HasPrefix(b, appendDescriptor(nil, x)) && b[0] < 0xfd && b[1] < 0xfd {
			t.Fatalf("%x is decoded as %x", b, x)
		}
	})
}

// The vectors are from multi-fork.json, made by Autobase 7.28.1.
func TestForksGiveTheStatesOfJavaScript(t *testing.T) {
	b, err := os.ReadFile("testdata/multi-fork.json")
	if err != nil {
		t.Fatal(err)
	}
	type vector struct {
		Bootstrap              string
		EncryptionKey          *string
		Forked, AfterMigration map[string]coreState
		Oplogs                 []struct {
			Key, PublicKey string
			Blocks         []string
		}
	}
	var all struct{ Plain, Encrypted vector }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]vector{"plain": all.Plain, "encrypted": all.Encrypted} {
		t.Run(name, func(t *testing.T) {
			s := &scenario{Name: name, Bootstrap: v.Bootstrap, EncryptionKey: v.EncryptionKey}
			var end []uint64
			for i, o := range v.Oplogs {
				s.Writers = append(s.Writers, scenarioWriter{PrimaryKey: hex.EncodeToString(bytes.Repeat([]byte{byte(i + 1)}, 32)),
					PublicKey: o.PublicKey, Key: o.Key, ManifestVersion: 1, Oplog: o.Blocks})
				end = append(end, uint64(len(o.Blocks)))
			}
			check := func(r *replayer, what string, want map[string]coreState) {
				t.Helper()
				got := r.state(t)
				all := map[string]coreState{systemName: got.System, encryptionName: {Key: r.base.e.keys.core.Key().Hex()}}
				maps.Copy(all, got.Views)
				for view, w := range want {
					g, ok := all[map[string]string{"system": systemName, "encryption": encryptionName}[view]]
					if !ok {
						g = all[view]
					}
					if g.Key != w.Key || view != "encryption" && (g.TreeHash != w.TreeHash || g.Length != w.Length) {
						t.Errorf("%s, %s: got %+v, want %+v", what, view, g, w)
					}
				}
			}
			following := newReplayer(t, s)
			following.advance(t, []uint64{end[0], 3, 0}) // the third node of the second writer comes after the fork
			check(following, "fork", v.Forked)
			following.advance(t, end)
			check(following, "migration", v.AfterMigration)
			fresh := newReplayer(t, s)
			fresh.advance(t, end)
			check(fresh, "migration, from nothing", v.AfterMigration)
		})
	}
}

// The flush that a fork writes again has to follow another one.
func TestForkOfTheFirstStateHasNoEffect(t *testing.T) {
	p := newPeers(t, 2, Options{})
	p.append(0, opLog("first"))
	s := p.bases[0].Status()
	for length := range s.Confirmed {
		p.append(0, opFork(s.System, length, p.bases[0].LocalKey()))
	}
	for _, forked := range p.apps[0].forks {
		if forked {
			t.Fatalf("forks: %v", p.apps[0].forks)
		}
	}
	if len(p.apps[0].forks) < 3 {
		t.Fatalf("%d forks were asked for", len(p.apps[0].forks))
	}
}

// A view that is empty at a fork keeps its place, also when the indexers change
// again, and after a restart.
func TestEmptyViewsKeepTheirPlaceAfterAFork(t *testing.T) {
	p := newPeers(t, 3, Options{})
	for i := 1; i < 3; i++ {
		p.append(0, opAdd(p.bases[i].LocalKey(), true))
		p.ackRounds(false)
	}
	p.append(0, opLog("the other view stays empty"))
	p.ackRounds(false)
	s := p.bases[0].Status()
	p.append(0, opFork(s.System, s.Confirmed, p.bases[0].LocalKey(), p.bases[1].LocalKey()))
	p.ackRounds(false)
	p.append(0, opRemove(p.bases[1].LocalKey()))
	p.ackRounds(false)
	before := p.text(0)
	if err := p.reopen(0, nil, Options{}); err != nil {
		t.Fatal(err)
	}
	if after := p.text(0); after != before {
		t.Fatalf("after a restart\n%s\nbefore\n%s", after, before)
	}
	p.append(0, opPut("k", "v"))
	p.ackRounds(false)
	if s := p.agree("after the first key"); len(s.Indexers) != 1 || s.Views[1].Signed == 0 {
		t.Fatalf("after the first key: %+v", s)
	}
}
