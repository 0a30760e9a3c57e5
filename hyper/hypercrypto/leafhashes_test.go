package hypercrypto

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestLeafHashesAreThoseOfOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Around every edge: 119 bytes beside the head are one compression.
		size := rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(100, 140), rapid.IntRange(240, 260), rapid.IntRange(1000, 5000))
		sizes := rapid.SliceOfN(size, 0, 20).Draw(t, "sizes")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		blocks := make([][]byte, len(sizes))
		for i, n := range sizes {
			blocks[i] = make([]byte, n)
			for j := range blocks[i] {
				blocks[i][j] = byte(rng.Uint32())
			}
		}
		got := make([]Hash, len(blocks))
		LeafHashes(got, blocks)
		for i, b := range blocks {
			if got[i] != LeafHash(b) {
				t.Fatalf("block %d of %v has another hash", i, sizes)
			}
		}
	})
}

func BenchmarkLeafHashes(b *testing.B) {
	for _, size := range []int{100, 1024, 65536} {
		blocks := make([][]byte, 32)
		for i := range blocks {
			blocks[i] = make([]byte, size)
		}
		dst := make([]Hash, len(blocks))
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			b.SetBytes(int64(size * len(blocks)))
			for b.Loop() {
				LeafHashes(dst, blocks)
			}
		})
		b.Run(fmt.Sprintf("%d-one-by-one", size), func(b *testing.B) {
			b.SetBytes(int64(size * len(blocks)))
			for b.Loop() {
				for i := range blocks {
					dst[i] = LeafHash(blocks[i])
				}
			}
		})
	}
}
