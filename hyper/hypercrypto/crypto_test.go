package hypercrypto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestNamespaceVectors(t *testing.T) {
	var v struct {
		Namespaces            map[string]hexBytes
		NamespacePreimageHash hexBytes
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	for name, got := range map[string]Hash{
		"TREE": nsTree, "REPLICATE_INITIATOR": nsReplicateInitiator, "REPLICATE_RESPONDER": nsReplicateResponder,
		"MANIFEST": nsManifest, "DEFAULT_NAMESPACE": DefaultNamespace(), "DEFAULT_ENCRYPTION": nsDefaultEncryption,
	} {
		if got != Hash(v.Namespaces[name]) {
			t.Errorf("%s = %s", name, got)
		}
	}
	if Sum([]byte("hyper"), []byte("core")) != Hash(v.NamespacePreimageHash) {
		t.Error("hash of the name differs")
	}
}

func TestKeyVectors(t *testing.T) {
	var v struct {
		KeyPairs      []struct{ Seed, PublicKey, SecretKey, DiscoveryKey hexBytes }
		DiscoveryKeys []struct{ Key, DiscoveryKey hexBytes }
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	if len(v.KeyPairs) == 0 || len(v.DiscoveryKeys) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.KeyPairs {
		kp := KeyPairFromSeed([32]byte(c.Seed))
		if kp.Public != PublicKey(c.PublicKey) || !bytes.Equal(kp.Secret(), c.SecretKey) || kp.Seed() != [32]byte(c.Seed) {
			t.Errorf("seed %x: %x, %x", c.Seed, kp.Public, kp.Secret())
		}
		if Key(kp.Public).Discovery() != DiscoveryKey(c.DiscoveryKey) {
			t.Errorf("seed %x: discovery key %s", c.Seed, Key(kp.Public).Discovery())
		}
		again, err := KeyPairFromSecret(c.SecretKey)
		if err != nil || again.Public != kp.Public {
			t.Errorf("seed %x: from secret %v, %v", c.Seed, again, err)
		}
	}
	for _, c := range v.DiscoveryKeys {
		if got := c.Key.key().Discovery(); got != DiscoveryKey(c.DiscoveryKey) {
			t.Errorf("%x: %s", c.Key, got)
		}
	}
}

func TestTreeHashVectors(t *testing.T) {
	var v struct {
		Leaves []struct {
			Block, Hash hexBytes
			Size        uint64
		}
		Parents []struct {
			Left, Right vectorNode
			Size        uint64
			Hash        hexBytes
		}
		Trees []struct {
			Length   uint64
			Roots    []vectorNode
			TreeHash hexBytes
		}
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	if len(v.Leaves) == 0 || len(v.Parents) == 0 || len(v.Trees) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Leaves {
		if got := LeafHash(c.Block); got != Hash(c.Hash) || uint64(len(c.Block)) != c.Size {
			t.Errorf("leaf %x: %s", c.Block, got)
		}
	}
	for _, c := range v.Parents {
		if got := ParentHash(c.Size, &c.Left.Hash, &c.Right.Hash); got != Hash(c.Hash) {
			t.Errorf("parent of %d: %s", c.Left.Index, got)
		}
	}
	for _, c := range v.Trees {
		var h TreeHasher
		for i := range c.Roots {
			h.Add(c.Roots[i].Index, c.Roots[i].Size, &c.Roots[i].Hash)
		}
		if got := h.Sum(); got != Hash(c.TreeHash) {
			t.Errorf("tree of %d: %s", c.Length, got)
		}
		built := newTestTree(int(c.Length))
		if built.state(0).Hash != Hash(c.TreeHash) {
			t.Errorf("built tree of %d differs", c.Length)
		}
	}
}

func TestLeafHashOfEverySizeAroundTheStackBuffer(t *testing.T) {
	for n := range 600 {
		block := bytes.Repeat([]byte{7}, n)
		head := []byte{0, byte(n), byte(n >> 8), 0, 0, 0, 0, 0, 0}
		if LeafHash(block) != Sum(head, block) {
			t.Fatalf("%d bytes", n)
		}
	}
}

func TestSignatureVectors(t *testing.T) {
	var v struct {
		Signatures []struct {
			Mode                              string
			Seed, TreeHash, Signable, Ed25519 hexBytes
			Stored, CoreKey, Namespace        hexBytes
			Length, Fork                      uint64
		}
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	if len(v.Signatures) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Signatures {
		kp := KeyPairFromSeed([32]byte(c.Seed))
		m := DefaultManifest(kp.Public)
		key := m.Key()
		legacy := false
		switch mode, _, _ := strings.Cut(c.Mode, ":"); mode {
		case "v1":
		case "v0":
			m = &Manifest{Quorum: 1, Signers: []Signer{{Namespace: [32]byte(c.Namespace), PublicKey: kp.Public}}}
			key = m.Key()
		case "compat":
			key = Key(kp.Public)
		case "compat legacy (no header)":
			key, legacy = Key(kp.Public), true
		default:
			t.Fatalf("mode %q", c.Mode)
		}
		if c.CoreKey != nil && key != c.CoreKey.key() {
			t.Errorf("%s: core key %x", c.Mode, key)
		}
		rules, err := NewVerifier(key, m)
		if err != nil {
			t.Fatal(err)
		}
		if legacy {
			rules = rules.Legacy()
		}
		state := TreeState{Hash: Hash(c.TreeHash), Length: c.Length, Fork: c.Fork}
		if got := rules.appendSignable(nil, &m.Signers[0], &state); !bytes.Equal(got, c.Signable) {
			t.Errorf("%s: signable %x", c.Mode, got)
		}
		part, err := rules.SignPart(state, kp)
		if err != nil || part.Signature != [64]byte(c.Ed25519) {
			t.Errorf("%s: signature %x, %v", c.Mode, part.Signature, err)
		}
		sig, err := rules.Sign(state, kp)
		if err != nil || !bytes.Equal(sig, c.Stored) {
			t.Errorf("%s: stored %x, %v", c.Mode, sig, err)
		}
		if !rules.Verify(state, c.Stored, nil) {
			t.Errorf("%s: refused", c.Mode)
		}
	}
}

func TestCapabilityVectors(t *testing.T) {
	var v struct {
		Capability struct{ Key, HandshakeHash, Initiator, Responder hexBytes }
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	c := v.Capability
	hash := [64]byte(c.HandshakeHash)
	if got := Capability(c.Key.key(), &hash, true); got != Hash(c.Initiator) {
		t.Errorf("initiator %s", got)
	}
	if got := Capability(c.Key.key(), &hash, false); got != Hash(c.Responder) {
		t.Errorf("responder %s", got)
	}
}

func TestSealedBoxVectors(t *testing.T) {
	var v struct {
		SealedBox struct {
			Seed, PublicKey, SecretKey, Ciphertext hexBytes
			Plaintext                              string
		}
	}
	loadVectors(t, "hypercore-crypto.json", &v)
	c := v.SealedBox
	kp := BoxKeyPairFromSeed([32]byte(c.Seed))
	if kp.Public != BoxPublicKey(c.PublicKey) || kp.secret != [32]byte(c.SecretKey) {
		t.Fatalf("key pair %x, %x", kp.Public, kp.secret)
	}
	got, err := kp.Open(c.Ciphertext)
	if err != nil || string(got) != c.Plaintext {
		t.Errorf("opened %q, %v", got, err)
	}
	for i := range c.Ciphertext {
		bad := bytes.Clone(c.Ciphertext)
		bad[i] ^= 1
		if _, err := kp.Open(bad); !errors.Is(err, ErrSealedBox) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := kp.Open(c.Ciphertext[:i]); !errors.Is(err, ErrSealedBox) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
}

func TestSealedBoxRoundTrip(t *testing.T) {
	kp, other := NewBoxKeyPair(), NewBoxKeyPair()
	sealed := kp.Public.Seal([]byte("message"))
	if len(sealed) != len("message")+SealedBoxOverhead {
		t.Errorf("%d bytes", len(sealed))
	}
	if got, err := kp.Open(sealed); err != nil || string(got) != "message" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := other.Open(sealed); !errors.Is(err, ErrSealedBox) {
		t.Errorf("other pair: %v", err)
	}
	if s := fmt.Sprintf("%v %#v", kp, kp); strings.Contains(s, fmt.Sprintf("%x", kp.secret[:4])) || !strings.Contains(s, EncodeZ32(kp.Public[:])) {
		t.Errorf("printed as %s", s)
	}
}

func TestKeyPairFromSecretRefuses(t *testing.T) {
	kp := NewKeyPair()
	for name, secret := range map[string][]byte{
		"short":        kp.Secret()[:32],
		"other public": append(kp.Secret()[:32:32], make([]byte, 32)...),
	} {
		if got, err := KeyPairFromSecret(secret); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestVerifyChecksLengths(t *testing.T) {
	kp := testKeyPair(1)
	sig := kp.Sign([]byte("m"))
	if !Verify(kp.Public, []byte("m"), sig[:]) {
		t.Error("own signature refused")
	}
	if Verify(kp.Public, []byte("m"), sig[:63]) || Verify(kp.Public, []byte("n"), sig[:]) || Verify(kp.Public, nil, nil) {
		t.Error("wrong signature accepted")
	}
}

func TestKeyPairIsPrintedWithoutSecret(t *testing.T) {
	kp := testKeyPair(1)
	for _, s := range []string{kp.String(), kp.GoString(), fmt.Sprintf("%v", kp)} {
		if !strings.Contains(s, kp.Public.String()) || strings.Contains(s, "0101") {
			t.Errorf("printed as %s", s)
		}
	}
}

func TestKeyedSumRefusesLongKeys(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	KeyedSum(make([]byte, 65))
}

func BenchmarkLeafHash(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				LeafHash(block)
			}
		})
	}
}

func BenchmarkParentHash(b *testing.B) {
	var l, r Hash
	b.ReportAllocs()
	for b.Loop() {
		ParentHash(3, &l, &r)
	}
}
