package hypercrypto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// stored returns the stored form of a plaintext.
func stored(t testing.TB, e BlockEncryption, index, fork uint64, plain []byte) []byte {
	t.Helper()
	b := append(make([]byte, e.Padding()), plain...)
	if err := e.Encrypt(index, fork, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBlockEncryptionVectors(t *testing.T) {
	var v struct {
		Blocks []struct {
			Mode                                          string
			CoreKey, EncryptionKey, BlockKey, BlindingKey hexBytes
			Index, Fork                                   uint64
			Plaintext, Stored                             hexBytes
		}
	}
	loadVectors(t, "hypercore-encryption.json", &v)
	if len(v.Blocks) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Blocks {
		t.Run(fmt.Sprintf("%s/%d", c.Mode, c.Index), func(t *testing.T) {
			key := EncryptionKey(c.EncryptionKey)
			var e BlockEncryption
			switch c.Mode {
			case "default":
				e = DefaultEncryption(key, c.CoreKey.key(), false)
			case "compat":
				e = DefaultEncryption(key, c.CoreKey.key(), true)
			default:
				e = BlockKeyEncryption(key)
			}
			if k := e.(*defaultEncryption).keys; k.Block != [32]byte(c.BlockKey) || k.Blinding != [32]byte(c.BlindingKey) {
				t.Errorf("keys %x, %x", k.Block, k.Blinding)
			}
			b := stored(t, e, c.Index, c.Fork, c.Plaintext)
			if !bytes.Equal(b, c.Stored) {
				t.Fatalf("stored %x, want %x", b, c.Stored)
			}
			if err := e.Decrypt(c.Index, b); err != nil || !bytes.Equal(b[e.Padding():], c.Plaintext) {
				t.Errorf("decrypted %x, %v", b, err)
			}
		})
	}
}

func TestEncryptedCoreVector(t *testing.T) {
	var v struct {
		API struct {
			Seed, EncryptionKey, CoreKey, BlockEncryptionKey hexBytes
			Plaintexts                                       []string
			Stored                                           []hexBytes
		}
	}
	loadVectors(t, "hypercore-encryption.json", &v)
	kp := KeyPairFromSeed([32]byte(v.API.Seed))
	key := DefaultManifest(kp.Public).Key()
	if key != v.API.CoreKey.key() {
		t.Fatalf("core key %x", key)
	}
	if got := DeriveBlockKey(EncryptionKey(v.API.EncryptionKey), key, false); got != [32]byte(v.API.BlockEncryptionKey) {
		t.Fatalf("block key %x", got)
	}
	e := DefaultEncryption(EncryptionKey(v.API.EncryptionKey), key, false)
	for i, p := range v.API.Plaintexts {
		if got := stored(t, e, uint64(i), 0, []byte(p)); !bytes.Equal(got, v.API.Stored[i]) {
			t.Errorf("block %d: %x", i, got)
		}
	}
}

func TestBlockEncryptionRoundTrip(t *testing.T) {
	rotating := RotatingEncryption(RotatingOptions{Source: fixedSource(7)})
	rapid.Check(t, func(r *rapid.T) {
		e := rotating
		if rapid.Bool().Draw(r, "default") {
			e = DefaultEncryption(EncryptionKey{1}, Key{2}, rapid.Bool().Draw(r, "compat"))
		}
		index := rapid.Uint64Range(0, 1<<53).Draw(r, "index")
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		b := stored(t, e, index, rapid.Uint64().Draw(r, "fork"), plain)
		if err := e.Decrypt(index, b); err != nil || !bytes.Equal(b[e.Padding():], plain) {
			r.Fatalf("%x, %v", b, err)
		}
	})
}

func TestEncryptionDependsOnIndexAndFork(t *testing.T) {
	e := BlockKeyEncryption([32]byte{1})
	base := stored(t, e, 4, 0, []byte("text"))
	if bytes.Equal(base, stored(t, e, 5, 0, []byte("text"))) || bytes.Equal(base[8:], stored(t, e, 4, 1, []byte("text"))[8:]) {
		t.Error("key stream is used twice")
	}
}

func TestShortBlocksAreErrors(t *testing.T) {
	for _, e := range []BlockEncryption{
		BlockKeyEncryption([32]byte{}),
		RotatingEncryption(RotatingOptions{Source: fixedSource(0)}),
		RotatingEncryption(RotatingOptions{Compat: func(uint64) bool { return true }}),
	} {
		for n := range EncryptionPadding {
			if err := e.Decrypt(0, make([]byte, n)); err == nil {
				t.Errorf("decrypted %d bytes", n)
			}
			if err := e.Encrypt(0, 0, make([]byte, n)); err == nil {
				t.Errorf("encrypted %d bytes", n)
			}
		}
	}
}

func TestEncryptionKeyIsNotPrinted(t *testing.T) {
	k := EncryptionKey{1, 2, 3}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %q", k, k, k, k, k)} {
		if strings.Contains(s, "1") || strings.Contains(s, "2") {
			t.Errorf("printed as %s", s)
		}
	}
}

func TestDefaultEncryptionDoesNotAllocate(t *testing.T) {
	e := BlockKeyEncryption([32]byte{1})
	b := make([]byte, 4096)
	if n := testing.AllocsPerRun(50, func() {
		if e.Encrypt(1, 0, b) != nil || e.Decrypt(1, b) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, size := range []int{256, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			e := BlockKeyEncryption([32]byte{1})
			block := make([]byte, size+EncryptionPadding)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Decrypt(7, block); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncryptRotating(b *testing.B) {
	e := RotatingEncryption(RotatingOptions{Source: fixedSource(1)})
	block := make([]byte, 64<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Encrypt(7, 0, block); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecrypt decrypts what a writer, or a peer, says is encrypted.
func FuzzDecrypt(f *testing.F) {
	box := NewBoxKeyPair()
	schemes := []BlockEncryption{
		DefaultEncryption(EncryptionKey{1}, Key{2}, false),
		DefaultEncryption(EncryptionKey{1}, Key{2}, true),
		RotatingEncryption(RotatingOptions{
			Source: func(id int64) (uint32, [32]byte, error) {
				if id > 7 {
					return 0, [32]byte{}, errors.New("no such key")
				}
				return uint32(max(id, 0)), [32]byte{byte(id)}, nil
			},
			Compat: func(i uint64) bool { return i%2 == 1 },
		}),
		EpochEncryption([32]byte{3}, testRing{1: {1}, 7: {7}}, func() uint32 { return 7 }),
	}
	for _, e := range schemes {
		block := append(make([]byte, e.Padding()), "text"...)
		if err := e.Encrypt(4, 1, block); err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(4), block)
	}
	f.Add(uint64(0), box.Public.Seal([]byte("text")))
	f.Add(uint64(1), []byte{1})
	f.Fuzz(func(t *testing.T, index uint64, stored []byte) {
		for _, e := range schemes {
			block := bytes.Clone(stored)
			if err := e.Decrypt(index, block); err != nil && !errors.Is(err, ErrEncryption) {
				t.Fatal(err)
			}
		}
		text, err := box.Open(stored)
		if err != nil && !errors.Is(err, ErrSealedBox) || err == nil && len(text) != len(stored)-SealedBoxOverhead {
			t.Fatalf("%d bytes of %d, %v", len(text), len(stored), err)
		}
	})
}
