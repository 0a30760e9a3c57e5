package rabin

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

type vectors struct {
	ChunkLengths           []int
	EditedAt3000000Insert8 []int
	Zeros20MiB             []int
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/rabin.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// prngBytes are the test bytes of the vectors: little-endian words of a 32-bit
// xorshift.
func prngBytes(seed uint32, n int) []byte {
	b := make([]byte, (n+3)/4*4)
	for i := 0; i < len(b); i += 4 {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		b[i], b[i+1], b[i+2], b[i+3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	}
	return b[:n]
}

func cuts(b []byte) (lengths []int) {
	for len(b) > 0 {
		n := Cut(b)
		lengths = append(lengths, n)
		b = b[n:]
	}
	return lengths
}

func TestCutsLikeMirrorDrive(t *testing.T) {
	v := readVectors(t)
	data := prngBytes(31337, 24<<20)
	if got := cuts(data); !slices.Equal(got, v.ChunkLengths) {
		t.Errorf("chunks %v, want %v", got, v.ChunkLengths)
	}
	edited := slices.Concat(data[:3000000], []byte("inserted"), data[3000000:])
	if got := cuts(edited); !slices.Equal(got, v.EditedAt3000000Insert8) {
		t.Errorf("after an insert %v, want %v", got, v.EditedAt3000000Insert8)
	}
	if got := cuts(make([]byte, 20<<20)); !slices.Equal(got, v.Zeros20MiB) {
		t.Errorf("zeros %v, want %v", got, v.Zeros20MiB)
	}
}

// slowCut follows the definition byte by byte, from the start of the chunk.
func slowCut(b []byte) int {
	var win [window]byte
	var digest uint64
	pos := 0
	slide := func(c byte) {
		digest ^= precomputed.out[win[pos]]
		win[pos] = c
		pos = (pos + 1) % window
		digest = (digest<<8 | uint64(c)) ^ precomputed.red[byte(digest>>45)]
	}
	slide(1)
	for i, c := range b {
		slide(c)
		if n := i + 1; n == MaxSize || n >= MinSize && digest&cutMask == 0 {
			return n
		}
	}
	return len(b)
}

func TestCutMatchesDefinition(t *testing.T) {
	for seed := uint32(1); seed < 6; seed++ {
		data := prngBytes(seed, 3<<20)
		if got, want := Cut(data), slowCut(data); got != want {
			t.Errorf("seed %d: cut at %d, want %d", seed, got, want)
		}
	}
	// Ones never give a zero fingerprint, so only the size limit cuts them.
	ones := bytes.Repeat([]byte{1}, MaxSize+10)
	if got, want := Cut(ones), slowCut(ones); got != want {
		t.Errorf("ones: cut at %d, want %d", got, want)
	}
	for _, n := range []int{0, 1, MinSize - 1, MinSize} {
		if got := Cut(make([]byte, n)); got != n {
			t.Errorf("%d bytes: cut at %d", n, got)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	data := prngBytes(31337, 24<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for rest := data; len(rest) > 0; {
			rest = rest[Cut(rest):]
		}
	}
}
