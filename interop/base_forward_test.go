package interop

import (
	"fmt"
	"testing"

	"github.com/tradle/cloudpal/hyper/autobase"
)

func TestFreshReadersJumpToTheSignedState(t *testing.T) {
	for _, secret := range []string{"", seedHex(0x77)} {
		for _, kinds := range []string{"gj", "jg", "gg"} {
			t.Run(fmt.Sprint(kinds, " encrypted ", secret != ""), func(t *testing.T) {
				// The second is a reader that joins late.
				opts := baseOptions{encryption: secret}
				var first basePeer
				if kinds[0] == 'g' {
					first = startGoBase(t, 1, "", opts)
				} else {
					first = startJSBase(t, 1, "", opts)
				}
				var ops []baseOp
				for i := range 120 {
					ops = append(ops, baseOp{Log: fmt.Sprint("log ", i), Put: []string{fmt.Sprint("key ", i%37), fmt.Sprint(i)}})
				}
				first.each(t, ops...)
				opts.fastForward = true
				if kinds[1] == 'j' {
					j := startJSBase(t, 2, first.key(), opts)
					j.dial(t, first.listen(t))
					j.Event(t, "fast-forward")
					converge(t, "after the jump", nil, first, j)
					first.append(t, addOp(j.local(), false))
					converge(t, "membership", func(s baseState) bool { return s.Members == 2 }, first, j)
					j.append(t, baseOp{Log: "after the jump"})
					converge(t, "a node after the jump", func(s baseState) bool { return s.Views["log"].Length == 121 }, first, j)
					return
				}
				jumped := make(chan autobase.Event, 10)
				g := &goBase{n: "go2", dir: t.TempDir(), seed: 2, boot: first.key(), opts: opts}
				g.onEvent = func(e autobase.Event) {
					if e.Type == autobase.EventForward {
						select {
						case jumped <- e:
						default:
						}
					}
				}
				g.start(t)
				t.Cleanup(g.stop)
				g.dial(t, first.listen(t))
				select {
				case <-jumped:
				case <-testContext(t).Done():
					t.Fatalf("no jump: %s", g.state(t).text())
				}
				converge(t, "after the jump", nil, first, g)
				if b, err := g.app.log.Get(testContext(t), 3); err != nil || string(b) != "log 3" {
					t.Fatalf("block 3 of the view is %q, %v", b, err)
				}
				if e, ok, err := g.app.kv.Get(testContext(t), []byte("key 5")); err != nil || !ok || string(e.Value) != "116" {
					t.Fatalf("key 5 is %q, %v, %v", e.Value, ok, err)
				}
				first.append(t, addOp(g.local(), true))
				converge(t, "membership", func(s baseState) bool { return s.Members == 2 && len(s.Pending) == 0 }, first, g)
				g.append(t, baseOp{Log: "after the jump"})
				s := settleBase(t, first, g)
				if s.Views["log"].Signed != 121 {
					t.Fatalf("at the end: %s", s.text())
				}
				g.restart(t)
				g.dial(t, first.listen(t))
				converge(t, "after the restart", nil, first, g)
			})
		}
	}
}
