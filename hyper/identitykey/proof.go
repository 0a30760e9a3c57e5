package identitykey

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// MaxChain is how many devices a proof may name. Nothing sensible comes near it;
// it bounds the signatures that a stranger can make us check.
const MaxChain = 64

// ErrProof is the error of a proof that cannot be read or does not prove what it
// is asked for. The text says what is wrong.
var ErrProof = errors.New("identitykey: invalid proof")

const version = 1

// Proof is a chain of devices from an identity, and optionally a signature of
// the last of them over data.
//
//	uint version (1), u64 epoch, 32 identity,
//	uint count, { 32 device, 64 signature } …,
//	uint flags (1: data), [64 signature]
type Proof struct {
	// Epoch is when the identity signed the first device, in seconds since 1970.
	// A person who signs their devices anew makes all earlier proofs void for
	// whoever has seen a newer one.
	Epoch uint64
	// Identity is the person.
	Identity hypercrypto.PublicKey
	// Chain is the devices, each signed by the one before it, the first by the
	// identity.
	Chain []Link
	// Data is the signature of the last device, or of the identity if there is
	// none, over data that the proof does not hold. nil if there is none.
	Data *[64]byte
}

// Link is a device in a chain.
type Link struct {
	Device    hypercrypto.PublicKey
	Signature [64]byte
}

// Device returns the last key of the chain: that of the device the proof is
// about, or the identity.
func (p *Proof) Device() hypercrypto.PublicKey {
	if len(p.Chain) == 0 {
		return p.Identity
	}
	return p.Chain[len(p.Chain)-1].Device
}

// AppendTo appends the encoded proof.
func (p *Proof) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, version)
	b = compact.AppendUint64(b, p.Epoch)
	b = append(b, p.Identity[:]...)
	b = compact.AppendUint(b, uint64(len(p.Chain)))
	for _, l := range p.Chain {
		b = append(append(b, l.Device[:]...), l.Signature[:]...)
	}
	if p.Data == nil {
		return compact.AppendUint(b, 0)
	}
	return append(compact.AppendUint(b, 1), p.Data[:]...)
}

// DecodeProof reads a proof and nothing else. It checks no signature. The error
// wraps [ErrProof].
func DecodeProof(b []byte) (*Proof, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != version {
		return nil, fmt.Errorf("%w: version %d is not known", ErrProof, v)
	}
	p := &Proof{Epoch: r.Uint64(), Identity: hypercrypto.PublicKey(r.Fixed32())}
	n := r.Uint()
	if n > MaxChain {
		return nil, fmt.Errorf("%w: a chain of %d devices", ErrProof, n)
	}
	for i := uint64(0); i < n && r.Err() == nil; i++ {
		p.Chain = append(p.Chain, Link{Device: hypercrypto.PublicKey(r.Fixed32()), Signature: fixed64(&r)})
	}
	if r.Uint()&1 != 0 {
		s := fixed64(&r)
		p.Data = &s
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if rest := r.Len(); rest > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrProof, rest)
	}
	return p, nil
}

func fixed64(r *compact.Reader) (v [64]byte) {
	copy(v[:], r.Fixed(len(v)))
	return v
}
