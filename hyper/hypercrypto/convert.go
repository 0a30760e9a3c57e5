package hypercrypto

import (
	"errors"

	"filippo.io/edwards25519"
)

// ErrNoBoxKey is the error of a public key for which nothing can be sealed: it is no
// point of the curve, or one outside of the group that key pairs are of.
var ErrNoBoxKey = errors.New("hypercrypto: nothing can be sealed for this key")

// eighth is 1/8, to tell points of other groups: it takes back the cofactor for those
// of the right one only.
var eighth = func() *edwards25519.Scalar {
	b := [32]byte{8}
	x, err := edwards25519.NewScalar().SetCanonicalBytes(b[:])
	if err != nil {
		panic("hypercrypto: " + err.Error())
	}
	return x.Invert(x)
}()

// Box returns the key for which messages to the owner of a signing key are sealed:
// crypto_sign_ed25519_pk_to_curve25519 of libsodium. The error is [ErrNoBoxKey].
func (k PublicKey) Box() (BoxPublicKey, error) {
	p, err := new(edwards25519.Point).SetBytes(k[:])
	if err != nil {
		return BoxPublicKey{}, ErrNoBoxKey
	}
	q := new(edwards25519.Point).MultByCofactor(p)
	if q.ScalarMult(eighth, q); q.Equal(p) == 0 || q.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return BoxPublicKey{}, ErrNoBoxKey
	}
	return BoxPublicKey(p.BytesMontgomery()), nil
}

// Box returns the pair that opens what is sealed for [PublicKey.Box].
func (kp *KeyPair) Box() *BoxKeyPair { return BoxKeyPairFromSeed(kp.Seed()) }
