package autobase

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key32(t testing.TB, s string) (k [32]byte) {
	t.Helper()
	if n := copy(k[:], unhex(t, s)); n != 32 {
		t.Fatalf("%q has %d bytes", s, n)
	}
	return k
}

type encodingVectors struct {
	Keys struct {
		LocalPublicKey, LocalKey string
		Genesis                  map[string]struct{ Key string }
		ViewNamespaceUnencrypted map[string]string
		ViewNamespaceEncrypted77 map[string]string
		AfterFirstNode           struct{ EncryptionKey string }
	}
	Encryption struct {
		V1view   map[string]any
		V1writer map[string]any
		V2writer map[string]any
	}
	Entropy []struct {
		Indexers []string
		Length   uint64
		Previous *string
		Entropy  string
	}
}

func loadEncodings(t testing.TB) *encodingVectors {
	t.Helper()
	b, err := os.ReadFile("testdata/multi-encodings.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(encodingVectors)
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKeysOfViewsAreThoseOfJavaScript(t *testing.T) {
	v := loadEncodings(t)
	base := hypercrypto.Key(key32(t, v.Keys.LocalKey))
	clear := &lineage{base: base}
	for name, want := range v.Keys.Genesis {
		if k := clear.manifest(name, &signers{}, hypercrypto.TreeState{}, nil, nil).Key(); k.Hex() != want.Key {
			t.Errorf("genesis key of %s is %s, not %s", name, k.Hex(), want.Key)
		}
	}
	ns := hypercrypto.DefaultNamespace()
	for name, want := range v.Keys.ViewNamespaceUnencrypted {
		if got := clear.namespace(name, ns); hex.EncodeToString(got[:]) != want {
			t.Errorf("namespace of %s is %x, not %s", name, got, want)
		}
	}
	var secret hypercrypto.EncryptionKey
	for i := range secret {
		secret[i] = 0x77
	}
	sealed := &lineage{base: base, encryption: &secret}
	for name, want := range v.Keys.ViewNamespaceEncrypted77 {
		if got := sealed.namespace(name, ns); hex.EncodeToString(got[:]) != want {
			t.Errorf("encrypted namespace of %s is %x, not %s", name, got, want)
		}
	}
	one := &signers{version: 1, list: []signer{{public: key32(t, v.Keys.LocalPublicKey), namespace: ns}}}
	if k := clear.manifest(encryptionName, one, hypercrypto.TreeState{}, nil, nil).Key(); k.Hex() != v.Keys.AfterFirstNode.EncryptionKey {
		t.Errorf("key of %s after the first node is %s", encryptionName, k.Hex())
	}
	for _, e := range v.Entropy {
		var before *[32]byte
		if e.Previous != nil {
			b := key32(t, *e.Previous)
			before = &b
		}
		var indexers []hypercrypto.Key
		for _, s := range e.Indexers {
			indexers = append(indexers, key32(t, s))
		}
		if got := nextEntropy(e.Length, before, indexers); hex.EncodeToString(got[:]) != e.Entropy {
			t.Errorf("entropy is %x, not %s", got, e.Entropy)
		}
	}
}

func TestBlocksAreEncryptedAsInJavaScript(t *testing.T) {
	v := loadEncodings(t)
	l := &lineage{encryption: new(hypercrypto.EncryptionKey)}
	for i := range l.base {
		l.base[i], l.encryption[i] = 0x10, 0x77
	}
	const plain = "a plaintext block"
	for at, index := range map[string]uint64{"index0": 0, "index3": 3} {
		b := append(make([]byte, 8), plain...)
		if err := l.viewEncryption("log").Encrypt(index, 0, b); err != nil {
			t.Fatal(err)
		}
		if want := v.Encryption.V1view[at].(string); hex.EncodeToString(b) != want {
			t.Errorf("view block %d is %x, not %s", index, b, want)
		}
	}
	var log hypercrypto.Key
	for i := range log {
		log[i] = 0x21
	}
	block, hash := l.logKeys(log)(nsGenesis)
	if want := v.Encryption.V2writer["blockKey"].(string); hex.EncodeToString(block[:]) != want {
		t.Errorf("block key is %x, not %s", block, want)
	}
	scheme := hypercrypto.RotatingEncryption(hypercrypto.RotatingOptions{
		Source: func(int64) (uint32, [32]byte, error) { return 0, nsGenesis, nil },
		Derive: func([32]byte) ([32]byte, [32]byte) { return block, hash },
	})
	b := append(make([]byte, 8), plain...)
	if err := scheme.Encrypt(3, 0, b); err != nil {
		t.Fatal(err)
	}
	if want := v.Encryption.V2writer["index3"].(string); hex.EncodeToString(b) != want {
		t.Errorf("log block is %x, not %s", b, want)
	}
}
