package blake2x4

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/blake2b"
)

func TestLanesAreFourIndependentHashes(t *testing.T) {
	if !Available() {
		t.Skip("no AVX2")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		const n = 3 // full blocks, then one that is partly filled
		var s State
		var messages [Lanes][]byte
		var in [Lanes]*byte
		for lane := range Lanes {
			m := make([]byte, (n+1)*BlockSize)
			for i := range m {
				m[i] = byte(rng.Uint32())
			}
			messages[lane] = m[:n*BlockSize+1+(round*7+lane*41)%BlockSize]
			clear(m[len(messages[lane]):])
			s.Start(lane)
			in[lane] = &m[0]
		}
		s.Compress(&in, n)
		for lane, m := range messages {
			in[lane] = &m[:cap(m)][n*BlockSize]
			s.Count[lane], s.Final[lane] = uint64(len(m)-BlockSize), ^uint64(0)
		}
		s.Compress(&in, 1)
		for lane, m := range messages {
			want := blake2b.Sum256(m)
			var got []byte
			for w := range 4 {
				got = binary.LittleEndian.AppendUint64(got, s.H[w][lane])
			}
			if !bytes.Equal(got, want[:]) {
				t.Fatalf("lane %d: a message of %d bytes has hash %x, want %x", lane, len(m), got, want)
			}
		}
	}
}
