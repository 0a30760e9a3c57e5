package hypercrypto

import (
	"bytes"
	"errors"
	"testing"
)

var errNoSuchKey = errors.New("no such key")

// fixedSource is a source that holds one key.
func fixedSource(id uint32) func(int64) (uint32, [32]byte, error) {
	return func(want int64) (uint32, [32]byte, error) {
		if want != NewestKey && want != int64(id) {
			return 0, [32]byte{}, errNoSuchKey
		}
		return id, [32]byte{byte(id)}, nil
	}
}

func TestRotatingVectors(t *testing.T) {
	var v struct {
		HashKeyNamespace hexBytes
		Rotating         []struct {
			KeyID                      uint32
			Entropy, BlockKey, HashKey hexBytes
			Index                      uint64
			Plaintext, Stored          hexBytes
		}
	}
	loadVectors(t, "hypercore-encryption.json", &v)
	if nsRotatingHash != Hash(v.HashKeyNamespace) || len(v.Rotating) == 0 {
		t.Fatalf("namespace %s, %d vectors", nsRotatingHash, len(v.Rotating))
	}
	for i, c := range v.Rotating {
		source := func(id int64) (uint32, [32]byte, error) { return c.KeyID, [32]byte(c.Entropy), nil }
		if block, hash := deriveRotating([32]byte(c.Entropy)); block != [32]byte(c.BlockKey) || hash != [32]byte(c.HashKey) {
			t.Errorf("%d: keys %x, %x", i, block, hash)
		}
		e := RotatingEncryption(RotatingOptions{Source: source})
		b := stored(t, e, c.Index, 0, c.Plaintext)
		if !bytes.Equal(b, c.Stored) {
			t.Fatalf("%d: stored %x, want %x", i, b, c.Stored)
		}
		if err := e.Decrypt(c.Index, b); err != nil || !bytes.Equal(b[e.Padding():], c.Plaintext) {
			t.Errorf("%d: decrypted %x, %v", i, b, err)
		}
	}
}

func TestRotationKeepsOldBlocksReadable(t *testing.T) {
	newest := uint32(1)
	asked := map[int64]int{}
	e := RotatingEncryption(RotatingOptions{Source: func(id int64) (uint32, [32]byte, error) {
		asked[id]++
		if id == NewestKey {
			id = int64(newest)
		}
		if id > int64(newest) {
			return 0, [32]byte{}, errNoSuchKey
		}
		return uint32(id), [32]byte{byte(id)}, nil
	}})
	var blocks [][]byte
	for i := range uint64(9) {
		newest = uint32(i/3) + 1
		blocks = append(blocks, stored(t, e, i, 0, []byte("same text")))
	}
	for i, b := range blocks {
		if want := byte(i/3) + 1; b[4] != want {
			t.Errorf("block %d has key %d, want %d", i, b[4], want)
		}
		if err := e.Decrypt(uint64(i), b); err != nil || string(b[8:]) != "same text" {
			t.Errorf("block %d: %q, %v", i, b[8:], err)
		}
	}
	if asked[1]+asked[2]+asked[3] != 0 {
		t.Errorf("keys seen while encrypting were asked for again: %v", asked)
	}
	fresh := []byte{1, 0, 0, 0, 9, 0, 0, 0, 1, 2}
	if err := e.Decrypt(0, fresh); !errors.Is(err, ErrEncryption) || !errors.Is(err, errNoSuchKey) {
		t.Errorf("unknown key: %v", err)
	}
}

func TestRotatingTypes(t *testing.T) {
	e := RotatingEncryption(RotatingOptions{Source: fixedSource(1)})
	plain := []byte{0, 9, 9, 9, 9, 9, 9, 9, 'a', 'b'}
	if err := e.Decrypt(0, plain); err != nil || string(plain[8:]) != "ab" {
		t.Errorf("plain block: %q, %v", plain[8:], err)
	}
	if err := e.Decrypt(0, []byte{2, 0, 0, 0, 1, 0, 0, 0}); !errors.Is(err, ErrEncryption) {
		t.Errorf("type 2: %v", err)
	}
	none := RotatingEncryption(RotatingOptions{Source: func(int64) (uint32, [32]byte, error) { return 0, [32]byte{}, errNoSuchKey }})
	if err := none.Encrypt(0, 0, make([]byte, 9)); !errors.Is(err, errNoSuchKey) {
		t.Errorf("no newest key: %v", err)
	}
}

func TestRotatingCompatBlocks(t *testing.T) {
	keys := NewBlockKeys([32]byte{5})
	e := RotatingEncryption(RotatingOptions{
		Source:     fixedSource(1),
		Compat:     func(index uint64) bool { return index < 2 },
		CompatKeys: keys,
	})
	old := BlockKeyEncryption(keys.Block)
	for i := range uint64(4) {
		b := stored(t, e, i, 3, []byte("text"))
		if same := bytes.Equal(b, stored(t, old, i, 3, []byte("text"))); same != (i < 2) {
			t.Errorf("block %d: default scheme %v", i, same)
		}
		if err := e.Decrypt(i, b); err != nil || string(b[8:]) != "text" {
			t.Errorf("block %d: %q, %v", i, b[8:], err)
		}
	}
}

func TestRotatingRemembersBoundedKeys(t *testing.T) {
	e := RotatingEncryption(RotatingOptions{Source: func(id int64) (uint32, [32]byte, error) {
		return uint32(id), [32]byte{}, nil
	}}).(*rotating)
	for i := range 3 * maxCachedKeys {
		if err := e.Decrypt(0, []byte{1, 0, 0, 0, byte(i), byte(i >> 8), 0, 0}); err != nil {
			t.Fatal(err)
		}
		if len(e.keys) > maxCachedKeys {
			t.Fatalf("%d keys", len(e.keys))
		}
	}
}
