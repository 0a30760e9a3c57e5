package bitfield

import (
	"testing"

	"pgregory.net/rapid"
)

// Random changes give what a map would hold.
func TestSetIsLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Around page borders and far away from each other.
		at := rapid.SampledFrom([]uint64{0, 31, 32768 - 40, 65536 - 7, 1 << 40})
		var b Bitfield
		model := make(map[uint64]bool)
		const span = 90
		bases := []uint64{0, 31, 32768 - 40, 65536 - 7, 1 << 40}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			start := at.Draw(t, "base") + rapid.Uint64Range(0, span).Draw(t, "start")
			end := start + rapid.Uint64Range(0, span).Draw(t, "length")
			v := rapid.Bool().Draw(t, "value")
			var changed uint64
			for i := start; i < end; i++ {
				if model[i] != v {
					changed++
				}
				model[i] = v
			}
			if got := b.SetRange(start, end, v); got != changed {
				t.Fatalf("SetRange changed %d bits, want %d", got, changed)
			}
		}
		var count uint64
		for _, v := range model {
			if v {
				count++
			}
		}
		if b.Count() != count {
			t.Fatalf("%d bits, want %d", b.Count(), count)
		}
		for _, base := range bases {
			next := uint64(0)
			for i := base + 2*span; ; i-- {
				if b.Get(i) != model[i] {
					t.Fatalf("bit %d is %v", i, b.Get(i))
				}
				if model[i] {
					next = i
				}
				if next != 0 || model[i] {
					if got, ok := b.NextSet(i); !ok || got != next {
						t.Fatalf("next bit from %d is %d, want %d", i, got, next)
					}
				}
				if i == base {
					break
				}
			}
			var in uint64
			for start, end := range b.Runs(base, base+2*span) {
				in += end - start
				if b.Get(end) && end < base+2*span || !b.All(start, end) {
					t.Fatalf("run %d-%d is not one", start, end)
				}
			}
			if in != b.CountRange(base, base+2*span) {
				t.Fatalf("runs hold %d bits, the count is %d", in, b.CountRange(base, base+2*span))
			}
		}
	})
}

// A hostile range takes no memory to speak of.
func TestHugeRangesAreCompact(t *testing.T) {
	var b Bitfield
	b.SetRange(1, 1<<40, true)
	b.SetRange(1<<20, 1<<20+1, false)
	if b.Count() != 1<<40-2 || b.Pages() > 4 {
		t.Errorf("%d bits in %d pages", b.Count(), b.Pages())
	}
	if i := b.NextUnset(1); i != 1<<20 {
		t.Errorf("first gap at %d", i)
	}
}

func TestWordsRoundTrip(t *testing.T) {
	var a, b Bitfield
	a.SetRange(5, 77, true)
	a.SetRange(32768-3, 32768+100, true)
	b.SetRange(0, 200, true)
	b.SetWords(0, a.AppendWords(nil, 0, 1100))
	for i := range uint64(35000) {
		if a.Get(i) != b.Get(i) {
			t.Fatalf("bit %d differs", i)
		}
	}
}
