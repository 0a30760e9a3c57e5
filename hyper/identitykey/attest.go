package identitykey

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// What a signature is about is its first byte.
const (
	aboutDevice = 0
	aboutData   = 1
)

// Bootstrap makes the identity vouch for its first device, at a time that all
// proofs built on this one inherit.
func Bootstrap(identity *hypercrypto.KeyPair, device hypercrypto.PublicKey, at time.Time) *Proof {
	p := &Proof{Epoch: uint64(max(at.Unix(), 0)), Identity: identity.Public}
	p.add(identity, device)
	return p
}

// AttestDevice makes the last device of p vouch for another. The error wraps
// [ErrProof]: by is not that device, or the chain is full.
func AttestDevice(p *Proof, by *hypercrypto.KeyPair, device hypercrypto.PublicKey) (*Proof, error) {
	if by.Public != p.Device() {
		return nil, fmt.Errorf("%w: the key that signs is not the proof's device", ErrProof)
	}
	if len(p.Chain) >= MaxChain {
		return nil, fmt.Errorf("%w: %d devices in the chain, there can be no more", ErrProof, len(p.Chain))
	}
	next := &Proof{Epoch: p.Epoch, Identity: p.Identity, Chain: slices.Clone(p.Chain)}
	next.add(by, device)
	return next, nil
}

// AttestData makes the last device of p sign data. The error wraps [ErrProof]: by
// is not that device.
func AttestData(p *Proof, by *hypercrypto.KeyPair, data []byte) (*Proof, error) {
	if by.Public != p.Device() {
		return nil, fmt.Errorf("%w: the key that signs is not the proof's device", ErrProof)
	}
	next := &Proof{Epoch: p.Epoch, Identity: p.Identity, Chain: slices.Clone(p.Chain)}
	next.sign(by, data)
	return next, nil
}

// AttestDataAsIdentity makes the identity itself sign data.
func AttestDataAsIdentity(identity *hypercrypto.KeyPair, data []byte, at time.Time) *Proof {
	p := &Proof{Epoch: uint64(max(at.Unix(), 0)), Identity: identity.Public}
	p.sign(identity, data)
	return p
}

func (p *Proof) add(by *hypercrypto.KeyPair, device hypercrypto.PublicKey) {
	p.Chain = append(p.Chain, Link{Device: device, Signature: by.Sign(p.deviceMessage(device))})
}

func (p *Proof) sign(by *hypercrypto.KeyPair, data []byte) {
	s := by.Sign(p.dataMessage(data))
	p.Data = &s
}

// deviceMessage is what is signed to vouch for a device.
func (p *Proof) deviceMessage(device hypercrypto.PublicKey) []byte {
	b := compact.AppendUint64([]byte{aboutDevice}, p.Epoch)
	return append(append(b, p.Identity[:]...), device[:]...)
}

// dataMessage is what is signed to vouch for data.
func (p *Proof) dataMessage(data []byte) []byte {
	b := compact.AppendUint64([]byte{aboutData}, p.Epoch)
	sum := blake2b.Sum256(data)
	return append(append(b, p.Identity[:]...), sum[:]...)
}

// Expectation is what a verifier knows. The zero value expects nothing.
type Expectation struct {
	// Identity and Device are whom the proof must be about.
	Identity, Device *hypercrypto.PublicKey
	// Since is the newest epoch seen from this identity; a proof of an earlier one
	// is refused. Keep the epoch of what was accepted for the next time.
	Since uint64
}

// VerifyDevice checks that the identity of p vouches for its device. The error
// wraps [ErrProof].
func (p *Proof) VerifyDevice(e Expectation) error {
	if len(p.Chain) == 0 {
		return fmt.Errorf("%w: it names no device", ErrProof)
	}
	if p.Data != nil {
		return fmt.Errorf("%w: it is one about data", ErrProof)
	}
	return p.verifyChain(e)
}

// VerifyData checks that the identity of p vouches for its device, and that
// device for data. The error wraps [ErrProof].
func (p *Proof) VerifyData(data []byte, e Expectation) error {
	if p.Data == nil {
		return fmt.Errorf("%w: it has no signature over data", ErrProof)
	}
	if err := p.verifyChain(e); err != nil {
		return err
	}
	if !hypercrypto.Verify(p.Device(), p.dataMessage(data), p.Data[:]) {
		return fmt.Errorf("%w: wrong signature over the data", ErrProof)
	}
	return nil
}

func (p *Proof) verifyChain(e Expectation) error {
	switch {
	case e.Identity != nil && *e.Identity != p.Identity:
		return fmt.Errorf("%w: it is one of another identity", ErrProof)
	case e.Device != nil && *e.Device != p.Device():
		return fmt.Errorf("%w: it is one of another device", ErrProof)
	case p.Epoch < e.Since:
		return fmt.Errorf("%w: the identity has signed its devices anew since", ErrProof)
	}
	signer := p.Identity
	for i, l := range p.Chain {
		if !hypercrypto.Verify(signer, p.deviceMessage(l.Device), l.Signature[:]) {
			return fmt.Errorf("%w: wrong signature over device %d", ErrProof, i+1)
		}
		signer = l.Device
	}
	return nil
}
