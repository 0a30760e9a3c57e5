package autobase

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Most of the newest nodes are nowhere to be had, the state that they lead to is,
// and it is nearer than what a base jumps to of itself.
func TestPreferForwardMakesAShortJump(t *testing.T) {
	const nodes, prefer = 30, 26
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := newPeers(t, 1, Options{})
	for i := 1; i <= nodes; i++ {
		p.append(0, opLog("entry %d", i))
	}
	want := p.bases[0].Status()
	if want.Signed != want.Tip {
		t.Fatalf("%d of %d blocks are signed", want.Signed, want.Tip)
	}
	own := p.logAt(0, 0)
	defer own.Close()
	var blocks [][]byte
	for i := range uint64(prefer - 1) {
		b, err := own.GetRaw(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	// Of its own log the first writer keeps the node that calls, and the last one.
	if err := own.Clear(ctx, prefer, nodes-1); err != nil {
		t.Fatal(err)
	}
	for _, preferred := range []bool{false, true} {
		t.Run(fmt.Sprint(preferred), func(t *testing.T) {
			store, err := corestore.Open(ctx, t.TempDir(), &corestore.Options{Relaxed: true})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			log, err := store.Get(ctx, corestore.GetOptions{KeyPair: p.stores[0].KeyPair("local")})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if _, err := log.Append(ctx, blocks...); err != nil {
				t.Fatal(err)
			}
			var app testApp
			called := false
			key := p.bases[0].Key()
			o := Options{AckInterval: -1, Local: hypercrypto.KeyPairFromSeed([32]byte{77}), NoForward: true}
			b, err := Open(ctx, store, &key, (&testApp{}).handlers(), &o) // a new reader would jump at once
			if err != nil {
				t.Fatal(err)
			}
			b.Close()
			o.NoForward = false
			b, err = Open(ctx, store, &key, Handlers{Open: app.open, Apply: func(ctx context.Context, nodes []Node, h *Host) error {
				if n := nodes[0]; n.Length == prefer && !called {
					called = true
					// Others have the state by then.
					system, err := store.Get(ctx, corestore.GetOptions{Key: &want.System})
					if err != nil {
						return err
					}
					defer system.Close()
					if err := waitLength(ctx, system, want.Signed); err != nil {
						return err
					}
					if preferred {
						h.PreferForward()
					}
				}
				return app.apply(ctx, nodes, h)
			}}, &o)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if n := app.log.Length(); n != prefer-1 {
				t.Fatalf("%d entries at the beginning", n)
			}
			connect(t, p.bases[0], b)
			length := uint64(prefer)
			if preferred {
				length = nodes
			}
			for at := b.Position(); app.log.Length() < length; {
				if at, err = b.WaitChange(ctx, at); err != nil {
					t.Fatalf("%d entries: %v", app.log.Length(), err)
				}
			}
			if _, err := b.Update(ctx); err != nil {
				t.Fatal(err)
			}
			if n := app.log.Length(); n != length {
				t.Fatalf("%d entries, not %d", n, length)
			}
			if s := b.Status(); preferred && (s.Hash != want.Hash || s.System != want.System) {
				t.Fatalf("after the jump: %+v", s)
			}
		})
	}
}
