package content

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestBlocksAreASet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var set Blocks
		type at struct {
			log   hypercrypto.Key
			block uint64
		}
		model := make(map[at]bool)
		run := func() Run {
			start := rapid.Uint64Range(0, 60).Draw(rt, "start")
			return Run{hypercrypto.Key{rapid.ByteRange(1, 2).Draw(rt, "log")}, hyperblobs.Run{Start: start, End: start + rapid.Uint64Range(1, 8).Draw(rt, "blocks")}}
		}
		for range rapid.IntRange(0, 30).Draw(rt, "steps") {
			r := run()
			if rapid.Bool().Draw(rt, "add") {
				set.add(r)
				for i := r.Start; i < r.End; i++ {
					model[at{r.Log, i}] = true
				}
				continue
			}
			left := make(map[uint64]bool)
			for _, l := range set.without(r) {
				for i := l.Start; i < l.End; i++ {
					left[i] = true
				}
			}
			for i := r.Start; i < r.End; i++ {
				if left[i] == model[at{r.Log, i}] || set.Has(r.Log, i) == left[i] {
					rt.Fatalf("block %d: left %v, in the set %v", i, left[i], set.Has(r.Log, i))
				}
			}
		}
	})
}
