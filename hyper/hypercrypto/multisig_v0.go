package hypercrypto

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// MultiSignatureV0 is the signature container of version 0 manifests with
// several signers or patches.
//
//	uint count, then per proof: uint flags (1 patch), uint signer, 64 bytes of
//	  signature, and with flag 1: uint start, uint length, uint count, positions
//	uint count, then the tree nodes
type MultiSignatureV0 struct {
	Proofs []SignatureProofV0
	Nodes  []TreeNode
}

// SignatureProofV0 is one signer's part. Patch is nil if the signature is over
// the accepted tree itself.
type SignatureProofV0 struct {
	Signer    uint64
	Signature [64]byte
	Patch     *PatchV0
}

// PatchV0 says how many blocks longer the signed tree is. Start and the
// positions of its nodes in the container are written but not used by readers.
type PatchV0 struct {
	Start     uint64
	Length    uint64
	Positions []uint64
}

const patchFlagV0 = 1

// AppendTo appends the container.
func (s *MultiSignatureV0) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, uint64(len(s.Proofs)))
	for i := range s.Proofs {
		p := &s.Proofs[i]
		flags := uint64(0)
		if p.Patch != nil {
			flags |= patchFlagV0
		}
		b = compact.AppendUint(b, flags)
		b = compact.AppendUint(b, p.Signer)
		b = append(b, p.Signature[:]...)
		if p.Patch != nil {
			b = compact.AppendUint(b, p.Patch.Start)
			b = compact.AppendUint(b, p.Patch.Length)
			b = compact.AppendUint(b, uint64(len(p.Patch.Positions)))
			for _, n := range p.Patch.Positions {
				b = compact.AppendUint(b, n)
			}
		}
	}
	return AppendTreeNodes(b, s.Nodes)
}

// DecodeMultiSignatureV0 decodes a container. Bytes after it are ignored. The
// result shares no memory with b. Its error wraps [ErrSignature].
func DecodeMultiSignatureV0(b []byte) (*MultiSignatureV0, error) {
	r := compact.NewReader(b)
	s := new(MultiSignatureV0)
	if n := r.Count(minProofSize); n > 0 {
		s.Proofs = make([]SignatureProofV0, n)
	}
	for i := range s.Proofs {
		flags := r.Uint()
		s.Proofs[i] = SignatureProofV0{Signer: r.Uint(), Signature: readSignature(&r)}
		if flags&patchFlagV0 != 0 {
			s.Proofs[i].Patch = readPatchV0(&r)
		}
	}
	s.Nodes = ReadTreeNodes(&r)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return s, nil
}

func readPatchV0(r *compact.Reader) *PatchV0 {
	p := &PatchV0{Start: r.Uint(), Length: r.Uint()}
	if n := r.Count(1); n > 0 {
		p.Positions = make([]uint64, n)
	}
	for i := range p.Positions {
		p.Positions[i] = r.Uint()
	}
	return p
}

// proofs returns the proofs in the form of version 1: of a patch only its length
// matters.
func (s *MultiSignatureV0) proofs() []SignatureProof {
	out := make([]SignatureProof, len(s.Proofs))
	for i := range s.Proofs {
		p := &s.Proofs[i]
		out[i] = SignatureProof{Signer: p.Signer, Signature: p.Signature}
		if p.Patch != nil {
			out[i].Patch = p.Patch.Length
		}
	}
	return out
}

// AssembleV0 makes the container of version 0 manifests from parts of several
// signers, in the given order. Equal nodes are written once.
func AssembleV0(parts []PartialSignature) []byte {
	s := MultiSignatureV0{Proofs: make([]SignatureProofV0, len(parts))}
	position := make(map[TreeNode]uint64)
	for i := range parts {
		p := &parts[i]
		s.Proofs[i] = SignatureProofV0{Signer: p.Signer, Signature: p.Signature}
		if p.Patch == 0 {
			continue
		}
		patch := &PatchV0{Length: p.Patch}
		for _, n := range p.Nodes {
			at, dup := position[n]
			if !dup {
				at = uint64(len(s.Nodes))
				position[n] = at
				s.Nodes = append(s.Nodes, n)
			}
			patch.Positions = append(patch.Positions, at)
			patch.Start = flattree.RightSpan(n.Index)/2 + 1
		}
		s.Proofs[i].Patch = patch
	}
	return s.AppendTo(nil)
}
