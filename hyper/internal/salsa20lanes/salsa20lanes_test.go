package salsa20lanes

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/salsa20"
	//lint:ignore SA1019 as in the package
	"golang.org/x/crypto/salsa20/salsa"
	"pgregory.net/rapid"
)

// kernels returns the numbers of lanes that this machine can work with.
func kernels() (all []int) {
	for _, n := range []int{8, 16} {
		if n <= lanes() {
			all = append(all, n)
		}
	}
	return all
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // never fails
	return b
}

// checkStream compares the stream of some lanes with that of golang.org/x/crypto, also
// in place, and sees that nothing is written behind it. data starts at any address.
func checkStream(t rapid.TB, lanes int, data, nonce []byte, key *[32]byte) {
	n := len(data)
	want := make([]byte, n)
	salsa20.XORKeyStream(want, data, nonce, key)
	const behind = 0xaa
	got := bytes.Repeat([]byte{behind}, n+maxLanes*blockSize)
	xorKeyStream(lanes, got, data, (*[24]byte)(nonce), key)
	if !bytes.Equal(got[:n], want) {
		t.Fatalf("%d lanes: %d bytes differ", lanes, n)
	}
	for i, b := range got[n:] {
		if b != behind {
			t.Fatalf("%d lanes: of %d bytes, one is written %d behind the end", lanes, n, i)
		}
	}
	copy(got, data)
	xorKeyStream(lanes, got[:n], got[:n], (*[24]byte)(nonce), key)
	if !bytes.Equal(got[:n], want) {
		t.Fatalf("%d lanes: %d bytes differ in place", lanes, n)
	}
}

func TestStreamOfEveryLengthIsThatOfSalsa20(t *testing.T) {
	key := [32]byte(random(1, 32))
	for _, lanes := range append(kernels(), 0) {
		for n := range 3*maxLanes*blockSize + 1 {
			all := random(uint64(n), 24+64+n)
			checkStream(t, lanes, all[24+n%64:][:n], all[:24], &key)
		}
	}
}

func TestStreamOfAnyKeyIsThatOfSalsa20(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.SampledFrom(append(kernels(), 0)).Draw(t, "lanes")
		all := random(rapid.Uint64().Draw(t, "seed"), 24+32+rapid.IntRange(0, 20_000).Draw(t, "length"))
		checkStream(t, lanes, all[56:], all[:24], (*[32]byte)(all[24:]))
	})
}

func TestCountOfBlocksExceeds32Bits(t *testing.T) {
	key := [32]byte(random(1, 32))
	for _, lanes := range kernels() {
		for before := range 2*lanes + 1 {
			in := [16]byte{8: 0xff - byte(before), 0xff, 0xff, 0xff, 1}
			got, want := make([]byte, 2*lanes*blockSize), make([]byte, 2*lanes*blockSize)
			s := start(&key, &in)
			xor(lanes, &got[0], &got[0], 2, &s)
			salsa.XORKeyStream(want, want, &in, &key)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d lanes: the streams differ %d blocks before the carry", lanes, before)
			}
		}
	}
}

func TestShortDestinationIsRefused(t *testing.T) {
	for _, n := range []int{1, 100, 1024, 5000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d bytes: no panic", n)
				}
			}()
			XORKeyStream(make([]byte, n-1, n), make([]byte, n), new([24]byte), new([32]byte))
		}()
	}
}

func BenchmarkXORKeyStream(b *testing.B) {
	for _, lanes := range append(kernels(), 0) {
		for _, n := range []int{100, 600, 4096, 80 << 10} {
			data := make([]byte, n)
			var key [32]byte
			var nonce [24]byte
			b.Run(fmt.Sprintf("lanes=%d/size=%d", lanes, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					xorKeyStream(lanes, data, data, &nonce, &key)
				}
			})
		}
	}
}
