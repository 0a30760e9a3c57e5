package hypercrypto

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Key names a core: the hash of its manifest, or the signer's public key of a
// compat core. Who knows the key can read the core.
type Key [32]byte

// DiscoveryKey is the hash of a Key. It finds peers without giving the right
// to read.
type DiscoveryKey [32]byte

// PublicKey is an Ed25519 public key.
type PublicKey [32]byte

// Hash is a BLAKE2b-256 hash.
type Hash [32]byte

// ErrKey is the error of [ParseKey]: the text is no key.
var ErrKey = errors.New("hypercrypto: not a key")

// String returns the z-base-32 form, 52 characters.
func (k Key) String() string { return EncodeZ32(k[:]) }

// Hex returns the key as 64 hexadecimal digits.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// IsZero tells whether k is the zero value, which is no usable key.
func (k Key) IsZero() bool { return k == Key{} }

// MarshalText returns the z-base-32 form.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText parses what [ParseKey] accepts.
func (k *Key) UnmarshalText(b []byte) (err error) {
	*k, err = ParseKey(string(b))
	return err
}

// String returns the discovery key as hexadecimal digits.
func (d DiscoveryKey) String() string { return hex.EncodeToString(d[:]) }

// String returns the public key in z-base-32.
func (p PublicKey) String() string { return EncodeZ32(p[:]) }

// String returns the hash as hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseKey reads a key from its 52 z-base-32 characters or 64 hexadecimal
// digits. A "pear://" prefix, and then everything from the next slash on, is
// dropped, as the JavaScript stack does.
func ParseKey(s string) (Key, error) {
	t := s
	if rest, ok := strings.CutPrefix(t, "pear://"); ok {
		t, _, _ = strings.Cut(rest, "/")
	}
	var raw []byte
	var err error
	switch len(t) {
	case 52:
		raw, err = DecodeZ32(t)
	case 64:
		raw, err = decodeHex(t)
	default:
		return Key{}, fmt.Errorf("%w: %d characters instead of 52 (z-base-32) or 64 (hex)", ErrKey, len(t))
	}
	if err != nil {
		return Key{}, fmt.Errorf("%w: %v", ErrKey, err)
	}
	return Key(raw[:32]), nil
}

// decodeHex is hex.DecodeString with an error that tells the position.
func decodeHex(s string) ([]byte, error) {
	for i := range len(s) {
		if !strings.ContainsRune("0123456789abcdefABCDEF", rune(s[i])) {
			return nil, fmt.Errorf("character %q at position %d is no hexadecimal digit", s[i], i+1)
		}
	}
	return hex.DecodeString(s)
}

// KeyPair is an Ed25519 key pair. The secret half never appears in text form.
type KeyPair struct {
	Public PublicKey
	secret ed25519.PrivateKey
}

// NewKeyPair makes a random key pair.
func NewKeyPair() *KeyPair {
	var seed [32]byte
	rand.Read(seed[:]) // never fails
	return KeyPairFromSeed(seed)
}

// KeyPairFromSeed makes the key pair that belongs to a 32-byte seed.
func KeyPairFromSeed(seed [32]byte) *KeyPair {
	sk := ed25519.NewKeyFromSeed(seed[:])
	return &KeyPair{Public: PublicKey(sk[32:]), secret: sk}
}

// KeyPairFromSecret makes the key pair of a 64-byte secret key (seed, then
// public key). It is an error if the two halves do not belong together.
func KeyPairFromSecret(secret []byte) (*KeyPair, error) {
	if len(secret) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("hypercrypto: secret key of %d bytes instead of %d", len(secret), ed25519.PrivateKeySize)
	}
	kp := KeyPairFromSeed([32]byte(secret[:32]))
	if string(kp.secret) != string(secret) {
		return nil, errors.New("hypercrypto: secret key and public key do not belong together")
	}
	return kp, nil
}

// Seed returns the 32 secret bytes the pair was made from.
func (kp *KeyPair) Seed() [32]byte { return [32]byte(kp.secret[:32]) }

// Secret returns a copy of the 64-byte secret key, for storing it.
func (kp *KeyPair) Secret() []byte { return append([]byte(nil), kp.secret...) }

// Sign signs a message.
func (kp *KeyPair) Sign(message []byte) [64]byte {
	return [64]byte(ed25519.Sign(kp.secret, message))
}

// String returns the public half only.
func (kp *KeyPair) String() string { return kp.Public.String() }

// GoString returns the public half only, so that %#v leaks nothing.
func (kp *KeyPair) GoString() string { return "hypercrypto.KeyPair(" + kp.Public.String() + ")" }

// Verify tells whether signature is pub's signature over message.
func Verify(pub PublicKey, message, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(pub[:], message, signature)
}
