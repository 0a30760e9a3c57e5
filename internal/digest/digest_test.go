package digest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/crypto/blake2b"
	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// reference is the hash as it is described.
func reference(t testing.TB, content []byte) (sum hypercrypto.Hash) {
	if len(content) <= 1<<20 {
		return blake2b.Sum256(content)
	}
	root, err := blake2b.New256([]byte("cloudpal/content"))
	if err != nil {
		t.Fatal(err)
	}
	for len(content) > 0 {
		piece := content[:min(len(content), 64<<10)]
		content = content[len(piece):]
		leaf := blake2b.Sum256(append(binary.LittleEndian.AppendUint64([]byte{0}, uint64(len(piece))), piece...))
		root.Write(leaf[:])
	}
	root.Sum(sum[:0])
	return sum
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

func TestHashIsAsDescribed(t *testing.T) {
	all := random(3<<20 + 17)
	for _, n := range []int{0, 1, pieceSize, groupSize, maxPlain - 1, maxPlain, maxPlain + 1, maxPlain + pieceSize,
		maxPlain + groupSize, 2<<20 - 1, 2 << 20, len(all)} {
		if got, want := Sum(all[:n]), reference(t, all[:n]); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
		for _, size := range []uint64{uint64(n), uint64(n) + 1, 1 << 40} {
			d := NewSized(size)
			_, _ = d.Write(all[:n])
			if d.Sum() != Sum(all[:n]) {
				t.Errorf("%d bytes: another hash if they are known to be no more than %d", n, size)
			}
		}
	}
}

func TestHashDoesNotDependOnWrites(t *testing.T) {
	all := random(3 << 20)
	d := New()
	rapid.Check(t, func(rt *rapid.T) {
		if rapid.Bool().Draw(rt, "broken off") {
			_, _ = d.Write(all[:rapid.IntRange(0, len(all)).Draw(rt, "before")])
		}
		d.Reset()
		content := all[:rapid.IntRange(0, len(all)).Draw(rt, "size")]
		for rest := content; len(rest) > 0; {
			n := min(len(rest), rapid.SampledFrom([]int{1, 100, 4096, pieceSize - 1, pieceSize, 300_000, 1 << 20}).Draw(rt, "write"))
			if n < 4096 && len(rest) > 100_000 {
				n += 64 << 10
			}
			_, _ = d.Write(rest[:n])
			rest = rest[n:]
		}
		first := d.Sum()
		if again := d.Sum(); first != Sum(content) || again != first {
			rt.Fatalf("%d bytes have another hash", len(content))
		}
	})
}

func TestDigestsShareNothing(t *testing.T) {
	all := random(3 << 20)
	for round := range 3 { // the memory of those before is used again
		digests := make([]*Digest, 4)
		for i := range digests {
			digests[i] = New()
		}
		for at := 0; at < len(all); at += 100_000 {
			for i, d := range digests {
				from, to := min(at+i, len(all)), min(at+100_000+i, len(all)-round)
				_, _ = d.Write(all[from:max(from, to)])
			}
		}
		for i, d := range digests {
			if d.Sum() != Sum(all[i:len(all)-round]) {
				t.Errorf("digest %d of round %d has another hash", i, round)
			}
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	for _, size := range []int{2 << 20, 16 << 20} {
		data := random(size)
		b.Run(fmt.Sprintf("sum/%dMiB", size>>20), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				Sum(data)
			}
		})
		b.Run(fmt.Sprintf("writes/%dMiB", size>>20), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				d := New()
				for p := range slices.Chunk(data, 32<<10) {
					_, _ = d.Write(p)
				}
				d.Sum()
			}
		})
	}
}
