package blake2lanes

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/crypto/blake2b"
	"pgregory.net/rapid"
)

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // never fails
	return b
}

// checkHashes hashes messages that have equally many blocks side by side: all blocks but
// the last one at once, from any address, then the last ones.
func checkHashes(t rapid.TB, messages [][]byte) {
	var s State
	n := max(0, len(messages[0])-1) / BlockSize
	last := make([][]byte, len(messages))
	for lane, m := range messages {
		s.Start(lane)
		last[lane] = make([]byte, BlockSize)
		copy(last[lane], m[n*BlockSize:])
	}
	if n > 0 {
		s.Compress(messages, n)
	}
	for lane, m := range messages {
		s.Finish(lane, uint64(len(m)))
	}
	s.Compress(last, 1)
	for lane, m := range messages {
		var got [Size]byte
		s.Sum(lane, &got)
		if want := blake2b.Sum256(m); got != want {
			t.Fatalf("lane %d of %d: a message of %d bytes has hash %x, want %x", lane, len(messages), len(m), got, want)
		}
	}
}

// Up to four lanes are AVX2, more are AVX-512.
func TestLanesAreIndependentHashesOfAnyLength(t *testing.T) {
	for lanes := 1; lanes <= Lanes(); lanes++ {
		for length := range 3*BlockSize + 1 {
			messages := make([][]byte, lanes)
			blocks := max(0, length-1) / BlockSize
			for lane := range messages {
				n := length
				if lane > 0 && length > 0 { // others end elsewhere in the same block
					n = blocks*BlockSize + 1 + (length*7+lane*41)%BlockSize
				}
				messages[lane] = random(uint64(length*8+lane), lane+n)[lane:]
			}
			checkHashes(t, messages)
		}
	}
}

func TestLanesAreIndependentHashesOfManyBlocks(t *testing.T) {
	if Lanes() == 0 {
		return
	}
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.IntRange(1, Lanes()).Draw(t, "lanes")
		blocks := rapid.IntRange(0, 100).Draw(t, "blocks")
		messages := make([][]byte, lanes)
		for lane := range messages {
			off := rapid.IntRange(0, 63).Draw(t, "offset")
			n := blocks*BlockSize + rapid.IntRange(1, BlockSize).Draw(t, "rest")
			messages[lane] = random(rapid.Uint64().Draw(t, "seed"), off+n)[off:]
		}
		checkHashes(t, messages)
	})
}

func TestMovedMessageGoesOn(t *testing.T) {
	if Lanes() == 0 {
		return
	}
	all := random(1, 5*BlockSize)
	want := blake2b.Sum256(all)
	var s State
	from := Lanes() - 1
	in := make([][]byte, Lanes())
	for lane := range in {
		s.Start(lane)
		in[lane] = random(uint64(lane), 2*BlockSize)
	}
	in[from] = all
	s.Compress(in, 2)
	s.Move(0, from)
	s.Compress([][]byte{all[2*BlockSize:]}, 2)
	s.Finish(0, uint64(len(all)))
	s.Compress([][]byte{all[4*BlockSize:]}, 1)
	var got [Size]byte
	s.Sum(0, &got)
	if got != want {
		t.Fatal("another hash after the lane has changed")
	}
}

func TestCompressReadsNothingBehindItsInput(t *testing.T) {
	if Lanes() == 0 {
		return
	}
	short := make([]byte, 2*BlockSize-1, 4*BlockSize)
	long := make([]byte, 2*BlockSize)
	for _, c := range []struct {
		name string
		in   [][]byte
		n    int
	}{
		{"no lanes", nil, 2},
		{"a short lane", [][]byte{short}, 2},
		{"the last lane short", [][]byte{long, long, long, short}, 2},
		{"too many lanes", slices.Repeat([][]byte{long}, Lanes()+1), 2},
		{"no blocks", [][]byte{long}, 0},
		{"less than no blocks", [][]byte{long}, -1},
		{"so many blocks that their size overflows", [][]byte{long}, math.MaxInt/BlockSize + 2},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", c.name)
				}
			}()
			new(State).Compress(c.in, c.n)
		}()
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, lanes := range []int{4, 8} {
		if lanes > Lanes() {
			continue
		}
		b.Run(map[int]string{4: "AVX2", 8: "AVX-512"}[lanes], func(b *testing.B) {
			const n = 640
			in := make([][]byte, lanes)
			for lane := range in {
				in[lane] = make([]byte, n*BlockSize)
			}
			var s State
			b.SetBytes(int64(lanes * n * BlockSize))
			for b.Loop() {
				s.Compress(in, n)
			}
		})
	}
}
