package hypercrypto

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// hexBytes is a byte string that vectors give as hexadecimal digits. JSON null
// leaves it nil.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	raw, err := hex.DecodeString(*s)
	*h = raw
	return err
}

func (h hexBytes) key() Key { return Key(h) }

// vectorNode is a tree node given as [index, size, hash].
type vectorNode TreeNode

func (n *vectorNode) UnmarshalJSON(b []byte) error {
	var hash hexBytes
	if err := json.Unmarshal(b, &[]any{&n.Index, &n.Size, &hash}); err != nil {
		return err
	}
	if len(hash) != 32 {
		return fmt.Errorf("hash of %d bytes", len(hash))
	}
	n.Hash = Hash(hash)
	return nil
}

// vectorManifest is a manifest as the vectors spell it, or the wish for one.
type vectorManifest struct {
	Version    *uint64
	AllowPatch bool
	Quorum     *uint64
	Signers    []struct{ Namespace, PublicKey hexBytes }
	Prologue   *struct {
		Hash   hexBytes
		Length uint64
	}
	Linked   []hexBytes
	UserData hexBytes
}

func (v *vectorManifest) input() ManifestInput {
	in := ManifestInput{Version: v.Version, AllowPatch: v.AllowPatch, Quorum: v.Quorum, UserData: v.UserData}
	for _, s := range v.Signers {
		signer := Signer{PublicKey: PublicKey(s.PublicKey)}
		copy(signer.Namespace[:], s.Namespace)
		in.Signers = append(in.Signers, signer)
	}
	if v.Prologue != nil {
		in.Prologue = &Prologue{Hash: Hash(v.Prologue.Hash), Length: v.Prologue.Length}
	}
	for _, k := range v.Linked {
		in.Linked = append(in.Linked, k.key())
	}
	return in
}

func loadVectors(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// testBlock is block i of the log that the vectors use.
func testBlock(i int) []byte {
	b := fmt.Appendf(nil, "block-%d|", i)
	for range i * 7 % 23 {
		b = append(b, byte(i%251))
	}
	return b
}

func testKeyPair(b byte) *KeyPair {
	var seed [32]byte
	for i := range seed {
		seed[i] = b
	}
	return KeyPairFromSeed(seed)
}
