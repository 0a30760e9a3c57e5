package merkle_test

import (
	"errors"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

func newVerifier(t *testing.T, m *hypercrypto.Manifest) merkle.Verifier {
	t.Helper()
	rules, err := hypercrypto.NewVerifier(m.Key(), m)
	if err != nil {
		t.Fatal(err)
	}
	return merkle.Verifier{Key: m.Key(), Rules: rules}
}

// withPrologue is a log whose first blocks are fixed.
func withPrologue(t *testing.T, n int, length uint64) *world {
	w := logOf(t, n)
	m := hypercrypto.DefaultManifest(w.kp.Public)
	m.Prologue = &hypercrypto.Prologue{Hash: w.trees[length].Hash(), Length: length}
	w.v = newVerifier(t, m)
	return w
}

func (w *world) growth(t *testing.T, head int, start, length, prologue uint64) *merkle.Proof {
	t.Helper()
	p, err := w.trees[head].Prove(w.nodes, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: start, Length: length}}, prologue)
	if err != nil {
		t.Fatal(err)
	}
	if head != int(prologue) {
		p.Upgrade.Signature = w.signature(t, head)
	}
	return p
}

func TestPrologueNeedsNoSignature(t *testing.T) {
	w := withPrologue(t, 9, 5)
	r := newReader(w.v)
	r.must(t, w.growth(t, 5, 0, 5, 5))
	if r.tree.Length != 5 || r.sig != nil {
		t.Errorf("length %d, signature %x", r.tree.Length, r.sig)
	}
	r.must(t, w.growth(t, 9, 5, 4, 5))
	if err := r.check(w); err != nil || r.tree.Length != 9 {
		t.Errorf("length %d, %v", r.tree.Length, err)
	}
}

func TestUpgradesCoverThePrologue(t *testing.T) {
	w := withPrologue(t, 9, 5)
	for _, req := range [][2]uint64{{0, 9}, {0, 3}, {2, 7}, {4, 1}} {
		p := w.growth(t, 9, req[0], req[1], 5)
		if p.Upgrade.Start != 0 || p.Upgrade.Length != 5 {
			t.Errorf("%v is answered from %d by %d", req, p.Upgrade.Start, p.Upgrade.Length)
		}
		r := newReader(w.v)
		r.must(t, p)
		if err := r.check(w); err != nil || r.tree.Length != 9 {
			t.Errorf("length %d, %v", r.tree.Length, err)
		}
		attack(t, newReader(w.v), w, p)
	}
	if _, err := w.trees[3].Prove(w.nodes, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 3}}, 5); !errors.Is(err, merkle.ErrInvalidRequest) {
		t.Errorf("log shorter than its prologue: %v", err)
	}
}

// TestPrologueIsNotPassedBy: a signer cannot replace the prologue by a signed
// history that goes over its end.
func TestPrologueIsNotPassedBy(t *testing.T) {
	w := withPrologue(t, 9, 5)
	for _, p := range []*merkle.Proof{w.growth(t, 9, 0, 9, 0), w.growth(t, 9, 0, 4, 0), w.growth(t, 9, 0, 6, 0)} {
		if err := newReader(w.v).apply(p); !errors.Is(err, merkle.ErrProof) {
			t.Errorf("%d blocks: %v", p.Upgrade.Length, err)
		}
		p.Upgrade.Start, p.Upgrade.Length = 6, p.Upgrade.Length-min(6, p.Upgrade.Length)
		if err := newReader(w.v).apply(p); err == nil {
			t.Error("a start behind the prologue gets by")
		}
		if _, err := w.v.Full(p); err == nil {
			t.Error("a start behind the prologue gets by")
		}
	}
	o := w.forkOf(t, 2, 9)
	o.v = w.v
	other := o.growth(t, 9, 0, 5, 0)
	other.Fork = 0
	if err := newReader(w.v).apply(other); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("another prologue: %v", err)
	}
	r := newReader(w.v)
	r.must(t, w.growth(t, 9, 0, 5, 5))
	if err := r.apply(w.growth(t, 9, 2, 3, 0)); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("upgrade within the prologue: %v", err)
	}
}

// quorum is a log with several signers of which two have to agree.
func quorum(t *testing.T, n int, patch bool) (*world, []*hypercrypto.KeyPair) {
	w := logOf(t, n)
	kps := []*hypercrypto.KeyPair{testKeyPair(1), testKeyPair(2), testKeyPair(3)}
	m := &hypercrypto.Manifest{Version: 1, Quorum: 2, AllowPatch: patch}
	for _, kp := range kps {
		m.Signers = append(m.Signers, hypercrypto.Signer{Namespace: hypercrypto.DefaultNamespace(), PublicKey: kp.Public})
	}
	w.v = newVerifier(t, m)
	return w, kps
}

func (w *world) part(t *testing.T, kp *hypercrypto.KeyPair, length int) hypercrypto.PartialSignature {
	t.Helper()
	p, err := w.v.Rules.SignPart(w.trees[length].State(), kp)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// patched is the part of a signer that signed more than is accepted.
func (w *world) patched(t *testing.T, kp *hypercrypto.KeyPair, signed, accepted int) hypercrypto.PartialSignature {
	t.Helper()
	p := w.part(t, kp, signed)
	up, err := w.trees[signed].Prove(w.nodes, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Start: uint64(accepted), Length: uint64(signed - accepted)}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Patch, p.Nodes = uint64(signed-accepted), up.Upgrade.Nodes
	return p
}

func TestSignersOfDifferentLengths(t *testing.T) {
	w, kps := quorum(t, 33, true)
	for accepted := 1; accepted <= 32; accepted++ {
		for signed := accepted + 1; signed <= 33; signed += 5 {
			parts := []hypercrypto.PartialSignature{w.part(t, kps[0], accepted), w.patched(t, kps[2], signed, accepted)}
			w.sigs[accepted] = hypercrypto.Assemble(parts)
			r := newReader(w.v)
			r.upgrade(t, w, accepted)
			if err := r.check(w); err != nil || !r.v.Signed(&r.tree, r.sig) {
				t.Fatalf("%d of %d blocks: %v", accepted, signed, err)
			}
			for name, spoil := range map[string]func(p *hypercrypto.PartialSignature){
				"patch":   func(p *hypercrypto.PartialSignature) { p.Patch++ },
				"huge":    func(p *hypercrypto.PartialSignature) { p.Patch = 1<<53 - 1 - uint64(accepted) },
				"missing": func(p *hypercrypto.PartialSignature) { p.Nodes = p.Nodes[1:] },
				"hash":    func(p *hypercrypto.PartialSignature) { p.Nodes[0].Hash[0] ^= 1 },
				"size":    func(p *hypercrypto.PartialSignature) { p.Nodes[0].Size += 1 << 52 },
				"over":    func(p *hypercrypto.PartialSignature) { p.Nodes[0].Size = 1 << 63 },
			} {
				bad := w.patched(t, kps[2], signed, accepted)
				spoil(&bad)
				w.sigs[accepted] = hypercrypto.Assemble([]hypercrypto.PartialSignature{parts[0], bad})
				p := w.prove(t, accepted, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: uint64(accepted)}})
				if err := newReader(w.v).apply(p); !errors.Is(err, merkle.ErrSignature) {
					t.Errorf("%d of %d blocks, %s: %v", accepted, signed, name, err)
				}
			}
		}
	}
}

func TestPatchesCanBeForbidden(t *testing.T) {
	w, kps := quorum(t, 9, false)
	w.sigs[5] = hypercrypto.Assemble([]hypercrypto.PartialSignature{w.part(t, kps[0], 5), w.patched(t, kps[1], 9, 5)})
	p := w.prove(t, 5, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 5}})
	if err := newReader(w.v).apply(p); !errors.Is(err, merkle.ErrSignature) {
		t.Error(err)
	}
	w.sigs[5] = hypercrypto.Assemble([]hypercrypto.PartialSignature{w.part(t, kps[1], 5), w.part(t, kps[2], 5)})
	newReader(w.v).upgrade(t, w, 5)
}

func TestManifestComesWithTheProof(t *testing.T) {
	w := logOf(t, 5)
	m := w.v.Rules.Manifest()
	up := &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 5}}

	r := newReader(merkle.Verifier{Key: w.v.Key})
	r.must(t, &merkle.Proof{Manifest: m})
	if r.v.Rules == nil {
		t.Error("a manifest alone is not taken")
	}
	r.must(t, w.prove(t, 5, up))

	r = newReader(merkle.Verifier{Key: w.v.Key})
	if err := r.apply(w.prove(t, 5, up)); !errors.Is(err, merkle.ErrSignature) {
		t.Errorf("no manifest: %v", err)
	}
	if r.v.Signed(&w.trees[5], w.signature(t, 5)) {
		t.Error("signed by nobody knows whom")
	}
	p := w.prove(t, 5, up)
	p.Manifest = hypercrypto.DefaultManifest(testKeyPair(2).Public)
	if err := r.apply(p); !errors.Is(err, merkle.ErrChecksum) {
		t.Errorf("another manifest: %v", err)
	}
	p.Manifest = m
	r.must(t, p)
	r.must(t, p) // again, with rules known
	p = w.prove(t, 5, r.blockRequest(t, 3))
	p.Manifest = hypercrypto.DefaultManifest(testKeyPair(2).Public)
	if err := r.apply(p); !errors.Is(err, merkle.ErrChecksum) {
		t.Errorf("another manifest: %v", err)
	}
}

// TestKeyCannotBePassedOffAsPublicKey: a manifest whose only signer is "the
// key" fits every core. It says nothing until something is signed by it.
func TestKeyCannotBePassedOffAsPublicKey(t *testing.T) {
	w := logOf(t, 5)
	r := newReader(merkle.Verifier{Key: w.v.Key})
	fake := hypercrypto.DefaultManifest(hypercrypto.PublicKey(w.v.Key))
	r.must(t, &merkle.Proof{Manifest: fake})
	if r.v.Rules != nil {
		t.Fatal("taken for a manifest")
	}
	p := w.prove(t, 5, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 5}})
	p.Manifest = fake
	if err := r.apply(p); !errors.Is(err, merkle.ErrSignature) || r.v.Rules != nil {
		t.Errorf("%v, %v", err, r.v.Rules)
	}
	p.Manifest = w.v.Rules.Manifest()
	r.must(t, p)
}

func TestCompatCoreIsKnownByItsSignature(t *testing.T) {
	w := logOf(t, 5)
	key := hypercrypto.Key(w.kp.Public)
	rules, err := hypercrypto.NewVerifier(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.v = merkle.Verifier{Key: key, Rules: rules}
	up := w.prove(t, 5, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 5}})
	for _, userData := range []string{"", "anything"} {
		r := newReader(merkle.Verifier{Key: key})
		p := copyProof(up)
		if userData != "" {
			p.Manifest = hypercrypto.DefaultManifest(w.kp.Public)
			p.Manifest.UserData = []byte(userData)
		}
		r.must(t, p)
		if r.v.Rules == nil || !r.v.Rules.Compat() || r.v.Rules.Manifest().UserData != nil {
			t.Errorf("rules %+v", r.v.Rules)
		}
	}
	g, err := (&merkle.Verifier{Key: key}).Full(up)
	if err != nil || g.Change.Rules == nil {
		t.Errorf("%+v, %v", g, err)
	}
}
