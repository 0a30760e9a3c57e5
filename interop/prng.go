package interop

import (
	"encoding/binary"
	"fmt"
)

// prng is the generator that both sides share; its twin is js/lib/prng.js. It is the 32-bit xorshift (13, 17, 5), whose
// seed must not be 0.
type prng struct{ x uint32 }

func newPRNG(seed uint32) *prng { return &prng{max(seed, 1)} }

func (r *prng) next() uint32 {
	r.x ^= r.x << 13
	r.x ^= r.x >> 17
	r.x ^= r.x << 5
	return r.x
}

// below returns a number from 0 up to but not including n.
func (r *prng) below(n uint32) uint32 { return r.next() % n }

// prngBytes returns deterministic bytes: little endian words of the generator.
func prngBytes(seed uint32, length int) []byte {
	r := newPRNG(seed)
	b := make([]byte, 0, length+3)
	for len(b) < length {
		b = binary.LittleEndian.AppendUint32(b, r.next())
	}
	return b[:length]
}

// testBlock returns block i of the common test log: the text block-i| and up to 22 bytes of value i mod 251.
func testBlock(i uint64) []byte {
	b := fmt.Appendf(nil, "block-%d|", i)
	for range (i * 7) % 23 {
		b = append(b, byte(i%251))
	}
	return b
}

// testBlocks returns the test blocks from start up to but not including end.
func testBlocks(start, end uint64) [][]byte {
	var all [][]byte
	for i := start; i < end; i++ {
		all = append(all, testBlock(i))
	}
	return all
}
