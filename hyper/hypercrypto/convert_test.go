package hypercrypto

import (
	"bytes"
	"errors"
	"testing"
)

func TestBoxKeysOfSignersAreThoseOfLibsodium(t *testing.T) {
	var v struct {
		Keys []struct{ Seed, PublicKey, BoxPublicKey, Message, Sealed hexBytes }
	}
	loadVectors(t, "box-of-signer.json", &v)
	if len(v.Keys) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Keys {
		kp := KeyPairFromSeed([32]byte(c.Seed))
		k, err := PublicKey(c.PublicKey).Box()
		if err != nil || k != BoxPublicKey(c.BoxPublicKey) || kp.Box().Public != k {
			t.Errorf("key %x, %v", k, err)
		}
		if got, err := kp.Box().Open(c.Sealed); err != nil || !bytes.Equal(got, c.Message) {
			t.Errorf("opened %q, %v", got, err)
		}
	}
}

func TestNothingIsSealedForWhatLibsodiumRefuses(t *testing.T) {
	var v struct{ Refused []hexBytes }
	loadVectors(t, "box-of-signer.json", &v)
	if len(v.Refused) == 0 {
		t.Fatal("no vectors")
	}
	for _, k := range v.Refused {
		if b, err := PublicKey(k).Box(); !errors.Is(err, ErrNoBoxKey) {
			t.Errorf("key %x became %x, %v", k, b, err)
		}
	}
}

func FuzzBox(f *testing.F) {
	k := KeyPairFromSeed([32]byte{1}).Public
	f.Add(k[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 32 {
			return
		}
		if p, err := PublicKey(b).Box(); err == nil {
			p.Seal([]byte("text"))
		}
	})
}
