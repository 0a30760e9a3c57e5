package hypercrypto

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMultiSignatureVectors(t *testing.T) {
	var v struct {
		MultiSignatureExamples []struct {
			Name  string
			Value struct {
				Proofs [][3]json.RawMessage
				Patch  []vectorNode
			}
			Encoded hexBytes
		}
	}
	loadVectors(t, "hypercore-manifest.json", &v)
	if len(v.MultiSignatureExamples) != 2 {
		t.Fatalf("%d examples", len(v.MultiSignatureExamples))
	}
	for _, c := range v.MultiSignatureExamples {
		var v0 MultiSignatureV0
		var v1 MultiSignature
		for _, n := range c.Value.Patch {
			v0.Nodes, v1.Nodes = append(v0.Nodes, TreeNode(n)), append(v1.Nodes, TreeNode(n))
		}
		isV0 := strings.HasPrefix(c.Name, "v0")
		for _, raw := range c.Value.Proofs {
			var signer, patch uint64
			var sig hexBytes
			var patchV0 *struct {
				Start, Length uint64
				Nodes         []uint64
			}
			mustJSON(t, raw[0], &signer)
			mustJSON(t, raw[1], &sig)
			if isV0 {
				mustJSON(t, raw[2], &patchV0)
			} else {
				mustJSON(t, raw[2], &patch)
			}
			v1.Proofs = append(v1.Proofs, SignatureProof{signer, [64]byte(sig), patch})
			p := SignatureProofV0{Signer: signer, Signature: [64]byte(sig)}
			if patchV0 != nil {
				p.Patch = &PatchV0{patchV0.Start, patchV0.Length, patchV0.Nodes}
			}
			v0.Proofs = append(v0.Proofs, p)
		}
		var enc, again []byte
		var err error
		if isV0 {
			enc = v0.AppendTo(nil)
			var s *MultiSignatureV0
			if s, err = DecodeMultiSignatureV0(c.Encoded); err == nil {
				again = s.AppendTo(nil)
			}
		} else {
			enc = v1.AppendTo(nil)
			var s *MultiSignature
			if s, err = DecodeMultiSignature(c.Encoded); err == nil {
				again = s.AppendTo(nil)
			}
		}
		if err != nil || !bytes.Equal(enc, c.Encoded) || !bytes.Equal(again, c.Encoded) {
			t.Errorf("%s: %v\n%x\n%x", c.Name, err, enc, c.Encoded)
		}
		for n := range c.Encoded {
			_, err0 := DecodeMultiSignatureV0(c.Encoded[:n])
			_, err1 := DecodeMultiSignature(c.Encoded[:n])
			if isV0 && !errors.Is(err0, ErrSignature) || !isV0 && !errors.Is(err1, ErrSignature) {
				t.Errorf("%s: %d bytes: %v, %v", c.Name, n, err0, err1)
			}
		}
	}
}

func mustJSON(t *testing.T, raw []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

func TestAssembleWritesNodesOnce(t *testing.T) {
	a, b := TreeNode{Index: 8, Size: 1}, TreeNode{Index: 10, Size: 2}
	parts := []PartialSignature{
		{Signer: 0, Patch: 1, Nodes: []TreeNode{a}},
		{Signer: 1, Patch: 2, Nodes: []TreeNode{a, b}},
	}
	v1, err := DecodeMultiSignature(Assemble(parts))
	if err != nil || !slices.Equal(v1.Nodes, []TreeNode{a, b}) || v1.Proofs[1].Patch != 2 {
		t.Errorf("%+v, %v", v1, err)
	}
	v0, err := DecodeMultiSignatureV0(AssembleV0(parts))
	if err != nil || !slices.Equal(v0.Nodes, []TreeNode{a, b}) {
		t.Fatalf("%+v, %v", v0, err)
	}
	if p := v0.Proofs[1].Patch; p.Start != 6 || p.Length != 2 || !slices.Equal(p.Positions, []uint64{0, 1}) {
		t.Errorf("%+v", p)
	}
}

func TestBareSignature(t *testing.T) {
	sig := [64]byte{1, 2, 3}
	for name, stored := range map[string][]byte{
		"bare":      sig[:],
		"container": Assemble([]PartialSignature{{Signature: sig}, {Signer: 1}}),
	} {
		if got, err := BareSignature(stored); err != nil || got != sig {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for name, stored := range map[string][]byte{"nothing": nil, "no proofs": {0, 0}, "cut": {1, 0}} {
		if _, err := BareSignature(stored); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignableLength(t *testing.T) {
	lengths := []uint64{5, 9, 2}
	for quorum, want := range map[int]uint64{-1: 9, 0: 9, 1: 9, 2: 5, 3: 2, 4: 0} {
		if got := SignableLength(lengths, quorum); got != want {
			t.Errorf("quorum %d: %d, want %d", quorum, got, want)
		}
	}
	if !slices.Equal(lengths, []uint64{5, 9, 2}) {
		t.Error("input changed")
	}
}

func FuzzDecodeMultiSignature(f *testing.F) {
	var v struct{ Verify []verifyVector }
	loadVectors(f, "hypercore-manifest.json", &v)
	for _, c := range v.Verify {
		f.Add([]byte(c.Signature))
	}
	f.Add([]byte{0xfe, 0, 0, 16, 0})
	tree := newTestTree(5)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeMultiSignature(b); err == nil {
			enc := s.AppendTo(nil)
			if again, err := DecodeMultiSignature(enc); err != nil || !bytes.Equal(again.AppendTo(nil), enc) || len(enc) > len(b) {
				t.Fatalf("%x does not survive: %v", enc, err)
			}
		}
		if s, err := DecodeMultiSignatureV0(b); err == nil {
			enc := s.AppendTo(nil)
			if again, err := DecodeMultiSignatureV0(enc); err != nil || !bytes.Equal(again.AppendTo(nil), enc) || len(enc) > len(b) {
				t.Fatalf("%x does not survive: %v", enc, err)
			}
		}
		for _, c := range v.Verify {
			m, err := DecodeManifest(c.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := NewVerifier(c.Key.key(), m)
			if err != nil {
				t.Fatal(err)
			}
			rules.Verify(tree.state(0), b, tree.grow)
		}
	})
}
