package hypercrypto

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// ErrNotSigner is the error of signing with a key pair that the manifest does
// not name.
var ErrNotSigner = errors.New("hypercrypto: key pair is not a signer of this core")

// ErrNeedsQuorum is the error of signing alone for a core that needs more than
// one signer. The caller collects parts of [Verifier.SignPart] and assembles.
var ErrNeedsQuorum = errors.New("hypercrypto: one signature is not a quorum")

// Grow extends the tree whose state is being verified by patch blocks, with the
// nodes of an upgrade proof from its length, and returns the hash over the roots
// of the longer tree and its length. nodes come from the signature container:
// they are in no order and may hold more than is needed; if an index occurs
// twice, the last one counts. ok is false if a node is missing or does not fit.
// Grow must not change the tree it starts from and must not keep nodes.
type Grow func(patch uint64, nodes []TreeNode) (treeHash Hash, length uint64, ok bool)

// A Verifier decides which signatures a core accepts, and makes them. It is
// immutable and safe for concurrent use.
type Verifier struct {
	key      Key
	manifest *Manifest
	compat   bool
	legacy   bool
}

// NewVerifier returns the rules of the core named key. m is its manifest, which
// must match the key and is kept. Nil stands for a manifest that is not known:
// the core can then only be a compat core whose key is the public key.
func NewVerifier(key Key, m *Manifest) (*Verifier, error) {
	if m == nil {
		return &Verifier{key: key, manifest: DefaultManifest(PublicKey(key)), compat: true}, nil
	}
	ok, compat := m.Matches(key)
	if !ok {
		return nil, fmt.Errorf("%w: its hash %s is not the core key %s", ErrManifest, m.Key().Hex(), key.Hex())
	}
	return &Verifier{key: key, manifest: m, compat: compat}, nil
}

// Legacy returns rules with the oldest form of compat signatures. They have no
// effect on cores that are not compat.
func (v *Verifier) Legacy() *Verifier {
	w := *v
	w.legacy = true
	return &w
}

// Manifest returns the manifest; the default one if it was not known.
func (v *Verifier) Manifest() *Manifest { return v.manifest }

// Compat tells whether the core key is the public key of the only signer.
func (v *Verifier) Compat() bool { return v.compat }

// Prologue returns the prologue that is in force, or nil.
func (v *Verifier) Prologue() *Prologue {
	if v.compat {
		return nil
	}
	return v.manifest.Prologue
}

// Verify tells whether signature makes t a valid state of the core. Nil and
// empty signatures are valid only at exactly the prologue's length. grow is
// called for proofs over longer trees; nil refuses them.
func (v *Verifier) Verify(t TreeState, signature []byte, grow Grow) bool {
	if v.bare() {
		return v.verifyOne(&v.manifest.Signers[0], &t, signature)
	}
	if p := v.manifest.Prologue; v.manifest.Version > 0 && p != nil && t.Length <= p.Length {
		return t.Length == p.Length && t.Hash == p.Hash
	}
	proofs, nodes, err := v.inflate(signature)
	if err != nil {
		return false
	}
	return v.verifyMany(t, proofs, nodes, grow)
}

// bare tells whether the stored form is a plain 64-byte signature.
func (v *Verifier) bare() bool {
	m := v.manifest
	return v.compat || m.Version == 0 && len(m.Signers) == 1 && !m.AllowPatch
}

func (v *Verifier) inflate(signature []byte) ([]SignatureProof, []TreeNode, error) {
	if v.manifest.Version == 0 {
		s, err := DecodeMultiSignatureV0(signature)
		if err != nil {
			return nil, nil, err
		}
		return s.proofs(), s.Nodes, nil
	}
	s, err := DecodeMultiSignature(signature)
	if err != nil {
		return nil, nil, err
	}
	return s.Proofs, s.Nodes, nil
}

// verifyMany lets the first quorum of proofs decide: a later one cannot stand in
// for a bad one.
func (v *Verifier) verifyMany(t TreeState, proofs []SignatureProof, nodes []TreeNode, grow Grow) bool {
	m := v.manifest
	if m.Quorum == 0 || uint64(len(proofs)) < m.Quorum {
		return false
	}
	used := make([]bool, len(m.Signers))
	for i := range proofs[:m.Quorum] {
		p := &proofs[i]
		if p.Signer >= uint64(len(m.Signers)) || used[p.Signer] {
			return false
		}
		used[p.Signer] = true
		signed := t
		if p.Patch > 0 && m.AllowPatch {
			if grow == nil || p.Patch > compact.MaxUint-t.Length {
				return false
			}
			var ok bool
			if signed.Hash, signed.Length, ok = grow(p.Patch, nodes); !ok {
				return false
			}
		}
		if !v.verifyOne(&m.Signers[p.Signer], &signed, p.Signature[:]) {
			return false
		}
	}
	return true
}

func (v *Verifier) verifyOne(s *Signer, t *TreeState, signature []byte) bool {
	var buf [112]byte
	return Verify(s.PublicKey, v.appendSignable(buf[:0], s, t), signature)
}

// appendSignable appends the form of the signable bytes that this core uses.
func (v *Verifier) appendSignable(b []byte, s *Signer, t *TreeState) []byte {
	switch {
	case v.compat && v.legacy:
		m := t.SignableLegacy()
		return append(b, m[:]...)
	case v.compat:
		m := t.SignableCompat()
		return append(b, m[:]...)
	case v.manifest.Version == 0:
		m := t.Signable(s.Namespace)
		return append(b, m[:]...)
	default:
		m := t.Signable(v.key)
		return append(b, m[:]...)
	}
}

// CanSign tells whether the owner of pub alone can make the signature of this core.
func (v *Verifier) CanSign(pub PublicKey) bool {
	_, ok := v.manifest.SignerIndex(pub)
	return ok && (v.compat || v.manifest.Quorum == 1)
}

// Sign returns the stored form of kp's signature over t. It is for cores where
// one signer is enough; the error is [ErrNeedsQuorum] for others and
// [ErrNotSigner] for a key pair that is none of the signers.
func (v *Verifier) Sign(t TreeState, kp *KeyPair) ([]byte, error) {
	part, err := v.SignPart(t, kp)
	if err != nil {
		return nil, err
	}
	if v.bare() {
		return part.Signature[:], nil
	}
	if v.manifest.Quorum != 1 {
		return nil, fmt.Errorf("%w: %d are needed", ErrNeedsQuorum, v.manifest.Quorum)
	}
	return v.Assemble([]PartialSignature{part}), nil
}

// SignPart returns kp's contribution to a signature over t. The error is
// [ErrNotSigner] if the manifest does not name kp.
func (v *Verifier) SignPart(t TreeState, kp *KeyPair) (PartialSignature, error) {
	i, ok := v.manifest.SignerIndex(kp.Public)
	if !ok {
		return PartialSignature{}, ErrNotSigner
	}
	var buf [112]byte
	msg := v.appendSignable(buf[:0], &v.manifest.Signers[i], &t)
	return PartialSignature{Signer: uint64(i), Signature: kp.Sign(msg)}, nil
}

// Assemble makes the stored form from parts of as many signers as the manifest
// asks for. The result may be longer than a quorum, but the first parts decide.
func (v *Verifier) Assemble(parts []PartialSignature) []byte {
	switch {
	case v.bare() && len(parts) > 0:
		return append([]byte(nil), parts[0].Signature[:]...)
	case v.manifest.Version == 0:
		return AssembleV0(parts)
	default:
		return Assemble(parts)
	}
}
