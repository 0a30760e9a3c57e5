package hypercrypto

import (
	"bytes"
	"fmt"
	"slices"
)

// ManifestInput is what [NewManifest] builds a manifest from. Fields left zero
// take the defaults that the JavaScript stack takes, so that equal wishes give
// equal keys.
type ManifestInput struct {
	// Version is the manifest version. Default 1, or 2 if Linked has entries or
	// UserData is present.
	Version *uint64
	// AllowPatch is off by default.
	AllowPatch bool
	// Quorum defaults to a majority of the signers; 0 without signers.
	Quorum *uint64
	// Signers with a zero namespace get the default namespace.
	Signers []Signer
	// Prologue is optional.
	Prologue *Prologue
	// Linked is optional and needs version 2. Empty is the same as absent.
	Linked []Key
	// UserData is optional and needs version 2. Empty is not the same as nil.
	UserData []byte
}

// NewManifest normalises the input. Its errors wrap [ErrManifest].
func NewManifest(in ManifestInput) (*Manifest, error) {
	m := &Manifest{
		Version:    1,
		AllowPatch: in.AllowPatch,
		Quorum:     defaultQuorum(len(in.Signers)),
		Signers:    slices.Clone(in.Signers),
		UserData:   bytes.Clone(in.UserData),
	}
	if len(in.Linked) > 0 {
		m.Linked = slices.Clone(in.Linked)
	}
	if in.Prologue != nil {
		p := *in.Prologue
		m.Prologue = &p
	}
	switch {
	case in.Version != nil:
		m.Version = *in.Version
	case m.Linked != nil || m.UserData != nil:
		m.Version = 2
	}
	if in.Quorum != nil {
		m.Quorum = *in.Quorum
	}
	for i := range m.Signers {
		if m.Signers[i].Namespace == [32]byte{} {
			m.Signers[i].Namespace = nsDefaultNamespace
		}
	}
	return m, m.check()
}

// defaultQuorum is a majority of n signers.
func defaultQuorum(n int) uint64 {
	if n == 0 {
		return 0
	}
	return uint64(n)/2 + 1
}

// check refuses what can be said in the fields but not in a manifest that
// anybody should make.
func (m *Manifest) check() error {
	switch {
	case m.Version > MaxManifestVersion:
		return fmt.Errorf("%w: version %d is unknown", ErrManifest, m.Version)
	case m.Quorum > uint64(len(m.Signers)):
		return fmt.Errorf("%w: quorum %d of %d signers", ErrManifest, m.Quorum, len(m.Signers))
	case m.Linked != nil && m.Version < 2:
		return fmt.Errorf("%w: linked cores need version 2, not %d", ErrManifest, m.Version)
	case m.UserData != nil && m.Version < 2:
		return fmt.Errorf("%w: user data needs version 2, not %d", ErrManifest, m.Version)
	case m.Version == 0 && m.Prologue != nil && len(m.Signers) > 0:
		return fmt.Errorf("%w: version 0 has no room for a prologue beside signers", ErrManifest)
	}
	return nil
}
