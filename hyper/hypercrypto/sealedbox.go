package hypercrypto

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha512"
	"errors"

	"golang.org/x/crypto/nacl/box"
)

// SealedBoxOverhead is how many bytes longer a sealed box is than its message.
const SealedBoxOverhead = box.AnonymousOverhead

// ErrSealedBox is the error of a box that was not sealed for this key pair or was
// changed on the way.
var ErrSealedBox = errors.New("hypercrypto: cannot open sealed box")

// BoxPublicKey is an X25519 public key that messages are sealed for.
type BoxPublicKey [32]byte

// BoxKeyPair opens boxes sealed for its public half. It is no signing key. The
// secret half never appears in text form.
type BoxKeyPair struct {
	Public BoxPublicKey
	secret [32]byte
}

// NewBoxKeyPair makes a random key pair.
func NewBoxKeyPair() *BoxKeyPair {
	var seed [32]byte
	rand.Read(seed[:]) // never fails
	return BoxKeyPairFromSeed(seed)
}

// BoxKeyPairFromSeed makes the key pair that belongs to a seed: the secret is the
// first half of the seed's SHA-512 hash.
func BoxKeyPairFromSeed(seed [32]byte) *BoxKeyPair {
	sum := sha512.Sum512(seed[:])
	sk, err := ecdh.X25519().NewPrivateKey(sum[:32])
	if err != nil {
		panic("hypercrypto: " + err.Error()) // every 32 bytes are a key
	}
	return &BoxKeyPair{Public: BoxPublicKey(sk.PublicKey().Bytes()), secret: [32]byte(sum[:32])}
}

// String returns the public half only.
func (kp *BoxKeyPair) String() string { return EncodeZ32(kp.Public[:]) }

// GoString returns the public half only, so that %#v leaks nothing.
func (kp *BoxKeyPair) GoString() string { return "hypercrypto.BoxKeyPair(" + kp.String() + ")" }

// Seal encrypts a message so that only the owner of the key pair can read it. The
// sender stays anonymous.
func (p BoxPublicKey) Seal(message []byte) []byte {
	sealed, err := box.SealAnonymous(nil, message, (*[32]byte)(&p), rand.Reader)
	if err != nil {
		panic("hypercrypto: " + err.Error()) // the random source never fails
	}
	return sealed
}

// Open returns the message in a sealed box, or [ErrSealedBox].
func (kp *BoxKeyPair) Open(sealed []byte) ([]byte, error) {
	message, ok := box.OpenAnonymous(nil, sealed, (*[32]byte)(&kp.Public), &kp.secret)
	if !ok {
		return nil, ErrSealedBox
	}
	return message, nil
}
