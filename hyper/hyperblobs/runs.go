package hyperblobs

import (
	"iter"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Run is a range of block indexes, End excluded.
type Run = hypercore.Run

// runs joins sorted indexes to ranges. Repeated ones count once.
func runs(sorted []uint64) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		for i := 0; i < len(sorted); {
			r := Run{Start: sorted[i], End: sorted[i] + 1}
			for i++; i < len(sorted) && sorted[i] <= r.End; i++ {
				r.End = sorted[i] + 1
			}
			if !yield(r) {
				return
			}
		}
	}
}
