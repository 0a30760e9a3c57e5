package hypercrypto

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// ErrManifest is the error of a manifest that cannot be decoded or built. The
// wrapped text says which field is wrong.
var ErrManifest = errors.New("hypercrypto: invalid manifest")

// MaxManifestVersion is the highest manifest version that is understood.
const MaxManifestVersion = 3

// Manifest says who may sign a log. Its hash is the core key, so a manifest
// never changes. The hash type is always BLAKE2b and signatures are always
// Ed25519: the format has no other values yet.
//
// A Manifest that somebody else may hold must not be modified.
type Manifest struct {
	// Version is part of what is hashed: equal fields under versions 1 and 2
	// name two cores.
	Version uint64
	// AllowPatch lets a signer sign a longer tree than the one that is accepted,
	// with proof that the longer one extends it.
	AllowPatch bool
	// Quorum is the number of signers that must agree. 0 means that nothing but
	// the prologue is ever valid.
	Quorum uint64
	// Signers are known to signatures by their position here.
	Signers []Signer
	// Prologue fixes the first blocks, which then need no signature. Nil if there
	// is none.
	Prologue *Prologue
	// Linked are cores that belong to this one. Nil is absent, which is encoded
	// differently from empty.
	Linked []Key
	// UserData is for the application. Nil is absent, which is encoded
	// differently from empty.
	UserData []byte
}

// Signer is one Ed25519 key that signs a log. Namespace is the context of its
// signatures in version 0 and keeps apart keys of cores that share a signer.
type Signer struct {
	Namespace [32]byte
	PublicKey PublicKey
}

// Prologue is the tree hash that a log has at Length blocks. In version 0 the
// length is not stored and reads as 0.
type Prologue struct {
	Hash   Hash
	Length uint64
}

// Flag bits of version 1 and above, and of version 0 type 2.
const (
	manifestAllowPatch = 1 << iota
	manifestPrologue
	manifestLinked
	manifestUserData
)

// Layouts of version 0.
const (
	manifestV0Static = iota
	manifestV0Single
	manifestV0Multi
)

const signerSize = 1 + 32 + 32

// DefaultManifest returns the manifest of a plain core with one writer.
func DefaultManifest(pub PublicKey) *Manifest {
	return &Manifest{
		Version: 1,
		Quorum:  1,
		Signers: []Signer{{Namespace: nsDefaultNamespace, PublicKey: pub}},
	}
}

// AppendTo appends the canonical encoding, which is what is hashed.
func (m *Manifest) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, m.Version)
	if m.Version == 0 {
		return m.appendV0(b)
	}
	flags := uint64(0)
	if m.AllowPatch {
		flags |= manifestAllowPatch
	}
	if m.Prologue != nil {
		flags |= manifestPrologue
	}
	if m.Linked != nil {
		flags |= manifestLinked
	}
	if m.UserData != nil {
		flags |= manifestUserData
	}
	b = compact.AppendUint(b, flags)
	b = append(b, 0) // hash type BLAKE2b
	b = compact.AppendUint(b, m.Quorum)
	b = appendSigners(b, m.Signers)
	if m.Prologue != nil {
		b = append(b, m.Prologue.Hash[:]...)
		b = compact.AppendUint(b, m.Prologue.Length)
	}
	if m.Linked != nil {
		b = compact.AppendUint(b, uint64(len(m.Linked)))
		for i := range m.Linked {
			b = append(b, m.Linked[i][:]...)
		}
	}
	if m.UserData != nil {
		b = compact.AppendBuffer(b, m.UserData)
	}
	return b
}

func (m *Manifest) appendV0(b []byte) []byte {
	b = append(b, 0) // hash type BLAKE2b
	switch {
	case m.Prologue != nil && len(m.Signers) == 0:
		b = append(b, manifestV0Static)
		return append(b, m.Prologue.Hash[:]...)
	case m.Quorum == 1 && len(m.Signers) == 1 && !m.AllowPatch:
		return m.Signers[0].appendTo(append(b, manifestV0Single))
	default:
		b = compact.AppendBool(append(b, manifestV0Multi), m.AllowPatch)
		b = compact.AppendUint(b, m.Quorum)
		return appendSigners(b, m.Signers)
	}
}

func (s *Signer) appendTo(b []byte) []byte {
	b = append(b, 0) // signature type Ed25519
	b = append(b, s.Namespace[:]...)
	return append(b, s.PublicKey[:]...)
}

func appendSigners(b []byte, signers []Signer) []byte {
	b = compact.AppendUint(b, uint64(len(signers)))
	for i := range signers {
		b = signers[i].appendTo(b)
	}
	return b
}

// DecodeManifest decodes a manifest. Bytes after it are ignored. The result
// shares no memory with b.
func DecodeManifest(b []byte) (*Manifest, error) {
	r := compact.NewReader(b)
	m := ReadManifest(&r)
	return m, r.Err()
}

// ReadManifest reads a manifest that stands among other fields. It returns nil
// on error; every error wraps [ErrManifest].
func ReadManifest(r *compact.Reader) *Manifest {
	if r.Err() != nil {
		return nil
	}
	// The fields are read apart from r, so that an error of the codec can be
	// given a name before it sticks.
	start := *r
	m := readManifest(r)
	if err := r.Err(); err != nil {
		*r = start
		r.Fail(fmt.Errorf("%w: %w", ErrManifest, err))
		return nil
	}
	return m
}

func readManifest(r *compact.Reader) *Manifest {
	m := &Manifest{Version: r.Uint()}
	switch {
	case m.Version == 0:
		m.readV0(r)
		return m
	case m.Version > MaxManifestVersion:
		r.Fail(fmt.Errorf("version %d is unknown", m.Version))
		return m
	}
	flags := r.Uint()
	readZero(r, "hash type")
	m.AllowPatch = flags&manifestAllowPatch != 0
	m.Quorum = r.Uint()
	m.Signers = readSigners(r)
	if flags&manifestPrologue != 0 {
		m.Prologue = &Prologue{Hash: r.Fixed32(), Length: r.Uint()}
	}
	if flags&manifestLinked != 0 {
		m.Linked = make([]Key, r.Count(32))
		for i := range m.Linked {
			m.Linked[i] = r.Fixed32()
		}
	}
	if flags&manifestUserData != 0 {
		m.UserData = bytes.Clone(r.Buffer())
	}
	return m
}

func (m *Manifest) readV0(r *compact.Reader) {
	readZero(r, "hash type")
	switch layout := r.Uint(); layout {
	case manifestV0Static:
		m.Prologue = &Prologue{Hash: r.Fixed32()}
	case manifestV0Single:
		m.Quorum = 1
		m.Signers = []Signer{readSigner(r)}
	case manifestV0Multi:
		m.AllowPatch = r.Uint()&manifestAllowPatch != 0
		m.Quorum = r.Uint()
		m.Signers = readSigners(r)
	default:
		r.Fail(fmt.Errorf("layout %d is unknown", layout))
	}
}

// readZero reads an enumeration that has the single value 0.
func readZero(r *compact.Reader, name string) {
	if n := r.Uint(); n != 0 {
		r.Fail(fmt.Errorf("%s %d is unknown", name, n))
	}
}

func readSigner(r *compact.Reader) Signer {
	readZero(r, "signature type")
	return Signer{Namespace: r.Fixed32(), PublicKey: r.Fixed32()}
}

func readSigners(r *compact.Reader) []Signer {
	n := r.Count(signerSize)
	if n == 0 {
		return nil
	}
	signers := make([]Signer, n)
	for i := range signers {
		signers[i] = readSigner(r)
		if r.Err() != nil {
			return nil
		}
	}
	return signers
}

// Key returns the hash of the manifest: the key of the core it governs.
func (m *Manifest) Key() Key {
	var buf [512]byte
	b := append(buf[:0], nsManifest[:]...)
	return Key(Sum(m.AppendTo(b)))
}

// Matches tells whether m governs the core named key, and whether it does so in
// compat form: key is then not the manifest's hash but the public key of its
// only signer, and the manifest's other fields have no meaning.
func (m *Manifest) Matches(key Key) (ok, compat bool) {
	if len(m.Signers) == 1 && key == Key(m.Signers[0].PublicKey) {
		return true, true
	}
	return m.Key() == key, false
}

// Equal tells whether both manifests have the same encoding.
func (m *Manifest) Equal(o *Manifest) bool {
	return bytes.Equal(m.AppendTo(nil), o.AppendTo(nil))
}

// SignerIndex returns the position of the first signer with that public key.
func (m *Manifest) SignerIndex(pub PublicKey) (i int, ok bool) {
	for i := range m.Signers {
		if m.Signers[i].PublicKey == pub {
			return i, true
		}
	}
	return 0, false
}
