package hypercrypto

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
)

// ErrSignature is the error of signature bytes that are no container.
var ErrSignature = errors.New("hypercrypto: invalid signature container")

// MultiSignature is the container that stands for "the signature" of a tree
// state from manifest version 1 on, also with a single signer.
//
//	uint count, then per proof: uint signer, 64 bytes of signature, uint patch
//	uint count, then the tree nodes that the patches need
type MultiSignature struct {
	Proofs []SignatureProof
	Nodes  []TreeNode
}

// SignatureProof is one signer's part. Patch, if not 0, says that the signature
// is over a tree that is so many blocks longer; the container's nodes prove that
// the longer tree extends the shorter one.
type SignatureProof struct {
	Signer    uint64
	Signature [64]byte
	Patch     uint64
}

const minProofSize = 1 + 64 + 1

// AppendTo appends the container.
func (s *MultiSignature) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, uint64(len(s.Proofs)))
	for i := range s.Proofs {
		p := &s.Proofs[i]
		b = compact.AppendUint(b, p.Signer)
		b = append(b, p.Signature[:]...)
		b = compact.AppendUint(b, p.Patch)
	}
	return AppendTreeNodes(b, s.Nodes)
}

// DecodeMultiSignature decodes a container. Bytes after it are ignored. The
// result shares no memory with b. Its error wraps [ErrSignature].
func DecodeMultiSignature(b []byte) (*MultiSignature, error) {
	r := compact.NewReader(b)
	s := new(MultiSignature)
	if n := r.Count(minProofSize); n > 0 {
		s.Proofs = make([]SignatureProof, n)
	}
	for i := range s.Proofs {
		s.Proofs[i] = SignatureProof{Signer: r.Uint(), Signature: readSignature(&r), Patch: r.Uint()}
	}
	s.Nodes = ReadTreeNodes(&r)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return s, nil
}

func readSignature(r *compact.Reader) (sig [64]byte) {
	copy(sig[:], r.Fixed(64))
	return sig
}

// PartialSignature is one signer's contribution to a container: a signature over
// the accepted tree, or over one that is Patch blocks longer. Nodes are then the
// nodes of an upgrade proof from the accepted length to the signed one.
type PartialSignature struct {
	Signer    uint64
	Signature [64]byte
	Patch     uint64
	Nodes     []TreeNode
}

// BareSignature takes the signature out of what a core with one signer stores:
// 64 bytes, or a container, of which the first proof counts. The error wraps
// [ErrSignature].
func BareSignature(stored []byte) ([64]byte, error) {
	if len(stored) == 64 {
		return [64]byte(stored), nil
	}
	s, err := DecodeMultiSignature(stored)
	if err != nil {
		return [64]byte{}, err
	}
	if len(s.Proofs) == 0 {
		return [64]byte{}, fmt.Errorf("%w: no proof in it", ErrSignature)
	}
	return s.Proofs[0].Signature, nil
}

// Assemble makes the container of version 1 and above from parts of several
// signers, in the given order: the first Quorum of them are the ones that count.
// Nodes that several parts bring are written once.
func Assemble(parts []PartialSignature) []byte {
	s := MultiSignature{Proofs: make([]SignatureProof, len(parts))}
	seen := make(map[uint64]struct{})
	for i := range parts {
		p := &parts[i]
		s.Proofs[i] = SignatureProof{Signer: p.Signer, Signature: p.Signature, Patch: p.Patch}
		for _, n := range p.Nodes {
			if _, dup := seen[n.Index]; !dup {
				seen[n.Index] = struct{}{}
				s.Nodes = append(s.Nodes, n)
			}
		}
	}
	return s.AppendTo(nil)
}

// SignableLength returns the largest length that at least quorum of the signers
// have reached, given the lengths of all of them; 0 if there are fewer. A quorum
// of 0 counts as 1.
func SignableLength(lengths []uint64, quorum int) uint64 {
	quorum = max(quorum, 1)
	if quorum > len(lengths) {
		return 0
	}
	sorted := slices.Sorted(slices.Values(lengths))
	return sorted[len(sorted)-quorum]
}
