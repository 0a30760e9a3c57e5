package interop

import (
	"fmt"
	"testing"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/corestore"
)

// fillBase appends n nodes.
func fillBase(t *testing.T, p basePeer, n int) {
	t.Helper()
	var ops []baseOp
	for i := range n {
		ops = append(ops, baseOp{Log: fmt.Sprint("log ", i), Put: []string{fmt.Sprint("key ", i%37), fmt.Sprint(i)}})
	}
	p.each(t, ops...)
}

// Who meets only peers that have no old nodes any more has to jump.
func TestReadersJumpToTheSignedState(t *testing.T) {
	for _, secret := range []string{"", seedHex(0x77)} {
		for _, kind := range "gj" {
			t.Run(fmt.Sprintf("%c encrypted %v", kind, secret != ""), func(t *testing.T) {
				opts := baseOptions{encryption: secret}
				var first basePeer
				if kind == 'g' {
					first = startGoBase(t, 1, "", opts)
				} else {
					first = startJSBase(t, 1, "", opts)
				}
				fillBase(t, first, 120)
				opts.fastForward = true
				j := startJSBase(t, 2, first.key(), opts)
				port := first.listen(t)
				j.dial(t, port)
				converge(t, "with a reader in JavaScript", nil, first, j)
				// Whether JavaScript jumps by itself, or has replayed before it gets to that, is a matter of luck, also among its own kind.
				jump := func(e Event) bool { return e.Str("event") == "fast-forward" }
				if e, _ := j.take(jump); e == nil {
					j.Call(t, "forward", nil)
					j.Next(t, "the jump of JavaScript", jump)
				}
				converge(t, "after the jump of JavaScript", nil, first, j)
				mirror := startGoBase(t, 4, first.key(), opts)
				mirror.dial(t, port)
				converge(t, "before the mirror forgets", nil, first, mirror)
				key := parseKey(t, first.key())
				log, err := mirror.store.Get(testContext(t), corestore.GetOptions{Key: &key})
				if err != nil {
					t.Fatal(err)
				}
				if err := log.Clear(testContext(t), 3, 110); err != nil {
					t.Fatal(err)
				}
				log.Close()
				first.cut(t)

				jumped := make(chan struct{}, 10)
				g := &goBase{n: "go3", dir: t.TempDir(), seed: 3, boot: first.key(), opts: opts}
				g.onEvent = func(e autobase.Event) {
					if e.Type == autobase.EventForward {
						jumped <- struct{}{}
					}
				}
				g.start(t)
				t.Cleanup(func() { g.stop() })
				g.dial(t, mirror.listen(t))
				select {
				case <-jumped:
				case <-testContext(t).Done():
					for _, b := range []*autobase.Base{g.base, mirror.base} {
						c, err := b.System()
						if err != nil {
							t.Fatal(err)
						}
						t.Logf("system core: %+v", c.Info())
						for _, p := range c.Peers() {
							t.Logf("peer: %+v", p.Stats())
						}
						c.Close()
					}
					t.Fatalf("no jump: %s", g.state(t).text())
				}
				converge(t, "after our jump", nil, mirror, g)
				mirror.cut(t)
				mirror.dial(t, port)
				g.dial(t, port)
				j.dial(t, port)
				if b, err := g.app.log.Get(testContext(t), 3); err != nil || string(b) != "log 3" {
					t.Fatalf("block 3 of the view is %q, %v", b, err)
				}
				if e, ok, err := g.app.kv.Get(testContext(t), []byte("key 5")); err != nil || !ok || string(e.Value) != "116" {
					t.Fatalf("key 5 is %q, %v, %v", e.Value, ok, err)
				}
				first.append(t, addOp(g.local(), true))
				converge(t, "membership", func(s baseState) bool { return s.Members == 2 && len(s.Pending) == 0 }, first, g, j)
				g.append(t, baseOp{Log: "after the jump"})
				s := settleBase(t, first, g)
				if s.Views["log"].Signed != 121 {
					t.Fatalf("at the end: %s", s.text())
				}
				g.restart(t)
				g.dial(t, port)
				converge(t, "after the restart", nil, first, g, j)
			})
		}
	}
}
