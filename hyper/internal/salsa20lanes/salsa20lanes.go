package salsa20lanes

import (
	"encoding/binary"

	//lint:ignore SA1019 the stream goes on from a number of blocks, which only this package can
	"golang.org/x/crypto/salsa20/salsa"
)

const (
	blockSize = 64
	maxLanes  = 16
	// fewBlocks is how many blocks golang.org/x/crypto does as fast as all lanes, of which
	// most would work for nothing.
	fewBlocks = 4
)

// XORKeyStream applies the XSalsa20 key stream of a nonce and a key to src, from the
// start of the stream on. dst and src are the same memory or do not overlap; dst must be
// no shorter.
func XORKeyStream(dst, src []byte, nonce *[24]byte, key *[32]byte) {
	xorKeyStream(lanes(), dst, src, nonce, key)
}

func xorKeyStream(lanes int, dst, src []byte, nonce *[24]byte, key *[32]byte) {
	if len(dst) < len(src) {
		panic("salsa20lanes: short destination")
	}
	var sub [32]byte
	var in [16]byte
	copy(in[:], nonce[:16])
	salsa.HSalsa20(&sub, &in, key, &salsa.Sigma)
	clear(in[:])
	copy(in[:8], nonce[16:])
	group := lanes * blockSize
	if lanes > 0 && len(src) >= group {
		n := len(src) / group
		s := start(&sub, &in)
		xor(lanes, &dst[0], &src[0], n, &s)
		dst, src = dst[n*group:], src[n*group:]
		binary.LittleEndian.PutUint64(in[8:], uint64(n*lanes))
	}
	switch {
	case lanes > 0 && len(src) > fewBlocks*blockSize:
		var last [maxLanes * blockSize]byte
		copy(last[:], src)
		s := start(&sub, &in)
		xor(lanes, &last[0], &last[0], 1, &s)
		copy(dst, last[:len(src)])
	case len(src) > 0:
		salsa.XORKeyStream(dst, src, &in, &sub)
	}
}

// start returns the state before the first block.
func start(key *[32]byte, in *[16]byte) (s [16]uint32) {
	word := func(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	for i := range 4 {
		s[5*i] = word(salsa.Sigma[:], i)
		s[1+i], s[11+i] = word(key[:], i), word(key[:], 4+i)
		s[6+i] = word(in[:], i)
	}
	return s
}
