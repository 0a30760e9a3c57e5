package hypercrypto

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/internal/blake2lanes"
)

// laneCounts are the numbers of lanes that LeafHashes has on this machine, or would have
// on one that can do less.
func laneCounts() (all []int) {
	for _, n := range []int{0, 4, 8} {
		if n <= blake2lanes.Lanes() {
			all = append(all, n)
		}
	}
	return all
}

func randomBlocks(seed uint64, sizes []int) [][]byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	blocks := make([][]byte, len(sizes))
	for i, n := range sizes {
		blocks[i] = make([]byte, n)
		_, _ = rng.Read(blocks[i]) // never fails
	}
	return blocks
}

func checkLeafHashes(t rapid.TB, lanes int, blocks [][]byte) {
	got := make([]Hash, len(blocks))
	leafHashes(got, blocks, lanes)
	for i, b := range blocks {
		if got[i] != LeafHash(b) {
			t.Fatalf("%d lanes: block %d of %d, of %d bytes, has another hash", lanes, i, len(blocks), len(b))
		}
	}
}

func TestLeafHashesAreThoseOfOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Around every edge: 119 bytes beside the head are one compression.
		size := rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(100, 140), rapid.IntRange(240, 260), rapid.IntRange(1000, 5000))
		sizes := rapid.SliceOfN(size, 0, 40).Draw(t, "sizes")
		blocks := randomBlocks(rapid.Uint64().Draw(t, "seed"), sizes)
		for _, lanes := range laneCounts() {
			checkLeafHashes(t, lanes, blocks)
		}
	})
}

func TestLeafHashesOfEveryLength(t *testing.T) {
	sizes := make([]int, 700)
	for i := range sizes {
		sizes[i] = i
	}
	blocks := randomBlocks(1, sizes)
	for _, lanes := range laneCounts() {
		checkLeafHashes(t, lanes, blocks)
		for n := 2; n <= 2*blake2lanes.MaxLanes+1; n++ {
			for from := 0; from+n <= len(blocks); from += n {
				checkLeafHashes(t, lanes, blocks[from:from+n])
			}
		}
	}
}

func TestLeafHashesSideBySideAllocateNothing(t *testing.T) {
	blocks := randomBlocks(1, []int{5, 1000, 100, 7000, 300, 1, 0, 128, 4000, 119, 120})
	dst := make([]Hash, len(blocks))
	for _, lanes := range laneCounts()[1:] {
		if n := testing.AllocsPerRun(100, func() { leafHashes(dst, blocks, lanes) }); n != 0 {
			t.Errorf("%d lanes: %v allocations", lanes, n)
		}
	}
}

func BenchmarkLeafHashes(b *testing.B) {
	equal := func(n, size int) []int {
		sizes := make([]int, n)
		for i := range sizes {
			sizes[i] = size
		}
		return sizes
	}
	// As content is cut: 32 to 128 KiB.
	rng := rand.New(rand.NewPCG(1, 2))
	cut := make([]int, 13)
	for i := range cut {
		cut[i] = 32<<10 + rng.IntN(96<<10)
	}
	for _, c := range []struct {
		name  string
		sizes []int
	}{
		{"16x80KiB", equal(16, 80<<10)},
		{"13xcut", cut},
		{"7xcut", cut[:7]},
		{"4x80KiB", equal(4, 80<<10)},
		{"64x1KiB", equal(64, 1<<10)},
		{"64x100B", equal(64, 100)},
	} {
		blocks := randomBlocks(1, c.sizes)
		total := 0
		for _, n := range c.sizes {
			total += n
		}
		dst := make([]Hash, len(blocks))
		for _, lanes := range laneCounts() {
			b.Run(fmt.Sprintf("%s/lanes=%d", c.name, lanes), func(b *testing.B) {
				b.SetBytes(int64(total))
				for b.Loop() {
					leafHashes(dst, blocks, lanes)
				}
			})
		}
	}
}
