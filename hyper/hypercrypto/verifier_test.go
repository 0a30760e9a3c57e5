package hypercrypto

import (
	"bytes"
	"errors"
	"testing"
)

type verifyVector struct {
	Name                               string
	Manifest, Key, TreeHash, Signature hexBytes
	Legacy                             bool
	Length, Fork                       uint64
	Valid                              any
}

func TestVerifyVectors(t *testing.T) {
	var v struct{ Verify []verifyVector }
	loadVectors(t, "hypercore-manifest.json", &v)
	if len(v.Verify) != 31 {
		t.Fatalf("%d verdicts", len(v.Verify))
	}
	for _, c := range v.Verify {
		t.Run(c.Name, func(t *testing.T) {
			m, err := DecodeManifest(c.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := NewVerifier(c.Key.key(), m)
			if err != nil {
				t.Fatal(err)
			}
			if c.Legacy {
				rules = rules.Legacy()
			}
			tree := newTestTree(int(c.Length))
			state := tree.state(c.Fork)
			if state.Hash != Hash(c.TreeHash) {
				t.Fatalf("tree hash %s", state.Hash)
			}
			// A verdict that is a text is how the reference failed.
			want := c.Valid == true
			if got := rules.Verify(state, c.Signature, tree.grow); got != want {
				t.Errorf("valid: %v, want %v", got, want)
			}
			if !want {
				return
			}
			for i := range c.Signature {
				bad := bytes.Clone(c.Signature)
				bad[i] ^= 1
				if rules.Verify(state, bad, tree.grow) && !ignored(rules, c.Signature, i) {
					t.Errorf("still valid with byte %d flipped", i)
				}
			}
		})
	}
}

// ignored tells whether byte i of a valid container is one that readers do not
// look at: the proofs after the quorum, their count, and patch numbers or nodes
// of manifests that allow none.
func ignored(v *Verifier, container []byte, i int) bool {
	s, err := DecodeMultiSignature(container)
	if err != nil || v.bare() {
		return false
	}
	quorum := int(v.manifest.Quorum)
	used := 1 + quorum*minProofSize
	switch {
	case i == 0: // a higher count makes extra proofs of the nodes
		return false
	case i >= used && len(s.Proofs) > quorum:
		return true
	case !v.manifest.AllowPatch && i < used && (i-1)%minProofSize == minProofSize-1:
		return true
	}
	return false
}

func TestSignIsAccepted(t *testing.T) {
	kp := testKeyPair(1)
	tree := newTestTree(7)
	state := tree.state(3)
	single := []Signer{{Namespace: nsDefaultNamespace, PublicKey: kp.Public}}
	v1 := DefaultManifest(kp.Public)
	for name, c := range map[string]struct {
		key      Key
		manifest *Manifest
		size     int
	}{
		"v1":             {v1.Key(), v1, 68},
		"compat":         {Key(kp.Public), v1, 64},
		"compat unknown": {Key(kp.Public), nil, 64},
		"v0":             {Key{}, &Manifest{Quorum: 1, Signers: single}, 64},
		"v0 patch":       {Key{}, &Manifest{Quorum: 1, AllowPatch: true, Signers: single}, 68},
		"v3 one of two":  {Key{}, &Manifest{Version: 3, Quorum: 1, Signers: []Signer{{}, single[0]}}, 68},
	} {
		t.Run(name, func(t *testing.T) {
			if c.key.IsZero() {
				c.key = c.manifest.Key()
			}
			rules, err := NewVerifier(c.key, c.manifest)
			if err != nil {
				t.Fatal(err)
			}
			if !rules.CanSign(kp.Public) || rules.CanSign(PublicKey{9}) {
				t.Error("CanSign is wrong")
			}
			sig, err := rules.Sign(state, kp)
			if err != nil || len(sig) != c.size {
				t.Fatalf("%d bytes, %v", len(sig), err)
			}
			if !rules.Verify(state, sig, nil) {
				t.Error("own signature refused")
			}
			bare, err := BareSignature(sig)
			if err != nil && name != "v0 patch" || name == "v0" && !bytes.Equal(bare[:], sig) {
				t.Errorf("bare signature: %v", err)
			}
			for _, other := range []TreeState{
				{Hash: Hash{1}, Length: state.Length, Fork: state.Fork},
				{Hash: state.Hash, Length: state.Length + 1, Fork: state.Fork},
				{Hash: state.Hash, Length: state.Length, Fork: state.Fork + 1},
			} {
				if rules.Verify(other, sig, nil) {
					t.Errorf("accepted for %+v", other)
				}
			}
			if rules.Verify(state, nil, nil) || rules.Verify(state, []byte{}, nil) {
				t.Error("missing signature accepted")
			}
			if _, err := rules.Sign(state, testKeyPair(2)); !errors.Is(err, ErrNotSigner) {
				t.Errorf("stranger: %v", err)
			}
		})
	}
}

func TestNewVerifierRefusesOtherManifest(t *testing.T) {
	if _, err := NewVerifier(Key{1}, DefaultManifest(PublicKey{2})); !errors.Is(err, ErrManifest) {
		t.Errorf("%v", err)
	}
}

func TestUnknownManifestIsCompat(t *testing.T) {
	kp := testKeyPair(1)
	rules, err := NewVerifier(Key(kp.Public), nil)
	if err != nil || !rules.Compat() || rules.Prologue() != nil || !rules.Manifest().Equal(DefaultManifest(kp.Public)) {
		t.Errorf("%+v, %v", rules, err)
	}
}

func TestPrologueIsIgnoredByCompat(t *testing.T) {
	kp := testKeyPair(1)
	m := DefaultManifest(kp.Public)
	m.Prologue = &Prologue{Length: 9}
	full, err := NewVerifier(m.Key(), m)
	if err != nil || full.Prologue() == nil {
		t.Fatalf("%v", err)
	}
	compat, err := NewVerifier(Key(kp.Public), m)
	if err != nil || compat.Prologue() != nil {
		t.Fatalf("%v", err)
	}
	state := newTestTree(3).state(0)
	sig, err := compat.Sign(state, kp)
	if err != nil || !compat.Verify(state, sig, nil) {
		t.Errorf("signature below the prologue refused: %v", err)
	}
}

// quorumRules returns a core with three signers of which two must sign.
func quorumRules(t *testing.T, version uint64, patch bool) *Verifier {
	t.Helper()
	m := &Manifest{Version: version, AllowPatch: patch, Quorum: 2}
	for i := byte(1); i <= 3; i++ {
		m.Signers = append(m.Signers, Signer{Namespace: nsDefaultNamespace, PublicKey: testKeyPair(i).Public})
	}
	rules, err := NewVerifier(m.Key(), m)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestQuorumWithPatches(t *testing.T) {
	for version := range uint64(MaxManifestVersion + 1) {
		rules := quorumRules(t, version, true)
		for from := 1; from < 20; from++ {
			short := newTestTree(from)
			for to := from; to < 24; to++ {
				long := newTestTree(to)
				var parts []PartialSignature
				for i, tree := range []*testTree{long, short} {
					p, err := rules.SignPart(tree.state(0), testKeyPair(byte(i+1)))
					if err != nil {
						t.Fatal(err)
					}
					p.Patch = tree.length - short.length
					p.Nodes = tree.upgrade(short)
					parts = append(parts, p)
				}
				sig := rules.Assemble(parts)
				if !rules.Verify(short.state(0), sig, short.grow) {
					t.Fatalf("v%d: %d signed as %d refused", version, from, to)
				}
				if to > from && rules.Verify(short.state(0), sig, nil) {
					t.Fatalf("v%d: patch accepted without growing", version)
				}
			}
		}
	}
}

func TestPatchBeyondAllLengthsIsRefused(t *testing.T) {
	rules := quorumRules(t, 1, true)
	state := newTestTree(2).state(0)
	p, err := rules.SignPart(state, testKeyPair(1))
	if err != nil {
		t.Fatal(err)
	}
	p.Patch = 1<<53 - 2
	grow := func(uint64, []TreeNode) (Hash, uint64, bool) {
		t.Error("asked to grow beyond the largest length")
		return state.Hash, state.Length, true
	}
	if rules.Verify(state, rules.Assemble([]PartialSignature{p, p}), grow) {
		t.Error("accepted")
	}
}

func TestQuorumNeedsSeveral(t *testing.T) {
	rules := quorumRules(t, 1, false)
	state := newTestTree(2).state(0)
	if _, err := rules.Sign(state, testKeyPair(1)); !errors.Is(err, ErrNeedsQuorum) {
		t.Errorf("%v", err)
	}
	if rules.CanSign(testKeyPair(1).Public) {
		t.Error("one of three can sign alone")
	}
	if _, err := rules.SignPart(state, testKeyPair(4)); !errors.Is(err, ErrNotSigner) {
		t.Errorf("%v", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	kp := testKeyPair(1)
	m := DefaultManifest(kp.Public)
	rules, err := NewVerifier(m.Key(), m)
	if err != nil {
		b.Fatal(err)
	}
	state := newTestTree(7).state(0)
	sig, err := rules.Sign(state, kp)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !rules.Verify(state, sig, nil) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkSign(b *testing.B) {
	kp := testKeyPair(1)
	m := DefaultManifest(kp.Public)
	rules, err := NewVerifier(m.Key(), m)
	if err != nil {
		b.Fatal(err)
	}
	state := newTestTree(7).state(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rules.Sign(state, kp); err != nil {
			b.Fatal(err)
		}
	}
}
