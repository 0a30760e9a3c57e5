package identity

import (
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// Identity is the person on this device. Without [Store.Unlock] it can be looked at
// but signs nothing.
type Identity struct {
	// Person names the person: the public key that follows from the phrase.
	Person hypercrypto.PublicKey
	// Device names the device.
	Device hypercrypto.PublicKey
	// Proof is what the person or another device says about this one.
	Proof *identitykey.Proof
	// Protection is how the device's key is kept.
	Protection Protection
	// PhraseKept tells that the phrase is kept with the device's key.
	PhraseKept bool

	key *hypercrypto.KeyPair // of the device; nil while locked
}

// String names the person and the device.
func (i Identity) String() string {
	return "person " + i.Person.String() + " on device " + i.Device.String()
}

// GoString is String.
func (i Identity) GoString() string { return i.String() }

// Since is when the person signed the first device of this generation. Proofs of
// earlier ones are void for whoever has seen one of this.
func (i *Identity) Since() time.Time { return time.Unix(int64(i.Proof.Epoch), 0).UTC() }

// AttestDevice makes this device vouch for another one of the same person.
func (i *Identity) AttestDevice(device hypercrypto.PublicKey) (*identitykey.Proof, error) {
	if i.key == nil {
		return nil, errLocked()
	}
	return identitykey.AttestDevice(i.Proof, i.key, device)
}

// Attest makes this device sign data for the person. The data has to say what it is
// for, because the same key signs everything.
func (i *Identity) Attest(data []byte) (*identitykey.Proof, error) {
	if i.key == nil {
		return nil, errLocked()
	}
	return identitykey.AttestData(i.Proof, i.key, data)
}

func errLocked() error { return fault.New(fault.Permission, "the device's key is locked") }
