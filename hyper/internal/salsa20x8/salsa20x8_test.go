package salsa20x8

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/salsa20"
	//lint:ignore SA1019 as in the package
	"golang.org/x/crypto/salsa20/salsa"
)

func TestStreamIsThatOfSalsa20(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(b []byte) {
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	for n := 0; n < 4*groupSize; n += 1 + n/7 {
		var key [32]byte
		var nonce [24]byte
		random(key[:])
		random(nonce[:])
		data := make([]byte, n)
		random(data)
		want, got := make([]byte, n), make([]byte, n)
		salsa20.XORKeyStream(want, data, nonce[:], &key)
		XORKeyStream(got, data, &nonce, &key)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes differ", n)
		}
		XORKeyStream(data, data, &nonce, &key)
		if !bytes.Equal(data, want) {
			t.Fatalf("%d bytes differ in place", n)
		}
	}
}

func TestCountOfBlocksExceeds32Bits(t *testing.T) {
	if !available() {
		t.Skip("no AVX2")
	}
	var key [32]byte
	in := [16]byte{8: 0xfa, 0xff, 0xff, 0xff, 1}
	got, want := make([]byte, 2*groupSize), make([]byte, 2*groupSize)
	s := start(&key, &in)
	xor(&got[0], &got[0], 2, &s)
	salsa.XORKeyStream(want, want, &in, &key)
	if !bytes.Equal(got, want) {
		t.Fatal("the streams differ")
	}
}

func BenchmarkXORKeyStream(b *testing.B) {
	for _, n := range []int{100, 4096, 64 << 10} {
		data := make([]byte, n)
		var key [32]byte
		var nonce [24]byte
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				XORKeyStream(data, data, &nonce, &key)
			}
		})
	}
}

func BenchmarkReference(b *testing.B) {
	data := make([]byte, 64<<10)
	var key [32]byte
	var nonce [24]byte
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		salsa20.XORKeyStream(data, data, nonce[:], &key)
	}
}
