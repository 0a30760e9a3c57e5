package digest

import (
	"encoding/binary"
	"math/rand/v2"
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
	for _, n := range []int{0, 1, pieceSize, maxPlain - 1, maxPlain, maxPlain + 1, maxPlain + pieceSize, 2 << 20, len(all)} {
		if got, want := Sum(all[:n]), reference(t, all[:n]); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
		d := NewSized(uint64(n))
		_, _ = d.Write(all[:n])
		if d.Sum() != Sum(all[:n]) {
			t.Errorf("%d bytes: another hash if the size is known", n)
		}
	}
}

func TestHashDoesNotDependOnWrites(t *testing.T) {
	all := random(3 << 20)
	d := New()
	rapid.Check(t, func(rt *rapid.T) {
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

func BenchmarkDigest(b *testing.B) {
	data := random(8 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Sum(data)
	}
}
