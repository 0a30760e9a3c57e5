package hypercrypto

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

type testRing map[uint32]EncryptionKey

func (r testRing) Key(epoch uint32) (EncryptionKey, bool) {
	k, ok := r[epoch]
	return k, ok
}

func TestBlocksOfEpochZeroAreThoseOfTheDefaultScheme(t *testing.T) {
	e := RingEncryption(EncryptionKey{1}, Key{2}, testRing{}, func() uint32 { return 0 })
	old := DefaultEncryption(EncryptionKey{1}, Key{2}, false)
	for fork := range uint64(3) {
		b := stored(t, e, 9, fork, []byte("text"))
		if !bytes.Equal(b, stored(t, old, 9, fork, []byte("text"))) {
			t.Fatalf("fork %d: another block", fork)
		}
		if err := e.Decrypt(9, b); err != nil || string(b[8:]) != "text" {
			t.Fatalf("fork %d: %q, %v", fork, b[8:], err)
		}
	}
	if err := e.Encrypt(0, maxEpochFork, make([]byte, 9)); !errors.Is(err, ErrEncryption) {
		t.Fatalf("a fork that cannot be told from an epoch: %v", err)
	}
}

// A block of an epoch is one of the rotating scheme of hypercore-encryption, with
// keys that are derived as written here.
func TestBlocksOfAnEpochNameIt(t *testing.T) {
	zero, key, now := [32]byte{1}, EncryptionKey{2}, uint32(0)
	ring := testRing{1<<31 + 5: key}
	e := EpochEncryption(zero, ring, func() uint32 { return now })
	first := stored(t, e, 3, 0, []byte("text"))
	now = 1<<31 + 5
	b := stored(t, e, 4, 0, []byte("text"))
	nsBlock, nsHash := Namespace("cloudpal/key-epoch", 0), Namespace("cloudpal/key-epoch", 1)
	block := Sum(nsBlock[:], zero[:], key[:])
	want := stored(t, RotatingEncryption(RotatingOptions{
		Source: func(int64) (uint32, [32]byte, error) { return now, [32]byte{}, nil },
		Derive: func([32]byte) (x, h [32]byte) { return block, Sum(nsHash[:], block[:]) },
	}), 4, 0, []byte("text"))
	if !bytes.Equal(b, want) {
		t.Fatalf("block %x, want %x", b, want)
	}
	for i, s := range [][]byte{first, b} {
		index := uint64(i) + 3
		n, err := BlockEpoch(zero, index, s)
		if err != nil || n != uint32(i)*now {
			t.Errorf("block %d is of epoch %d, %v", index, n, err)
		}
		if err := e.Decrypt(index, s); err != nil || string(s[8:]) != "text" {
			t.Errorf("block %d: %q, %v", index, s[8:], err)
		}
	}
}

func TestAKeyThatComesLaterIsUsed(t *testing.T) {
	ring := testRing{}
	e := EpochEncryption([32]byte{1}, ring, func() uint32 { return 3 })
	var unknown *UnknownKeyError
	if err := e.Encrypt(0, 0, make([]byte, 9)); !errors.As(err, &unknown) || unknown.Epoch != 3 {
		t.Fatalf("encrypted: %v", err)
	}
	b := stored(t, EpochEncryption([32]byte{1}, testRing{3: {9}}, func() uint32 { return 3 }), 0, 0, []byte("text"))
	if err := e.Decrypt(0, bytes.Clone(b)); !errors.As(err, &unknown) || unknown.Epoch != 3 || !errors.Is(err, ErrEncryption) {
		t.Fatalf("decrypted: %v", err)
	}
	ring[3] = EncryptionKey{9}
	if err := e.Decrypt(0, b); err != nil || string(b[8:]) != "text" {
		t.Fatalf("%q, %v", b[8:], err)
	}
}

func TestBlocksOfNoEpochAreErrors(t *testing.T) {
	e := EpochEncryption([32]byte{1}, testRing{}, func() uint32 { return 0 })
	for _, b := range [][]byte{nil, make([]byte, 7), {0, 1, 2, 3, 1, 0, 0, 0, 'x'}, {2, 1, 2, 3, 1, 0, 0, 0}, {1, 1, 2, 3, 0, 0, 0, 0, 'x'}} {
		var unknown *UnknownKeyError
		if err := e.Decrypt(0, b); !errors.Is(err, ErrEncryption) || errors.As(err, &unknown) {
			t.Errorf("block %x: %v", b, err)
		}
		if n, err := BlockEpoch([32]byte{1}, 0, b); err == nil {
			t.Errorf("block %x is of epoch %d", b, n)
		}
	}
}

func TestEpochsRoundTrip(t *testing.T) {
	ring := testRing{}
	for i := range uint32(5) {
		ring[i*i+1] = EncryptionKey{byte(i)}
	}
	rapid.Check(t, func(r *rapid.T) {
		var zero [32]byte
		zero[0] = rapid.Byte().Draw(r, "zero")
		now := rapid.SampledFrom([]uint32{0, 1, 2, 5, 10, 17}).Draw(r, "epoch")
		e := EpochEncryption(zero, ring, func() uint32 { return now })
		index := rapid.Uint64Range(0, 1<<53).Draw(r, "index")
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		b := stored(t, e, index, rapid.Uint64Max(maxEpochFork-1).Draw(r, "fork"), plain)
		if n, err := BlockEpoch(zero, index, b); err != nil || n != now {
			r.Fatalf("epoch %d, %v", n, err)
		}
		if err := e.Decrypt(index, b); err != nil || !bytes.Equal(b[e.Padding():], plain) {
			r.Fatalf("%x, %v", b, err)
		}
	})
}

func BenchmarkDecryptEpochs(b *testing.B) {
	for name, now := range map[string]uint32{"zero": 0, "one": 1} {
		b.Run(name, func(b *testing.B) {
			e := EpochEncryption([32]byte{1}, testRing{1: {2}}, func() uint32 { return now })
			block := stored(b, e, 7, 0, make([]byte, 4<<10))
			buf := make([]byte, len(block))
			b.SetBytes(4 << 10)
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, block)
				if err := e.Decrypt(7, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
