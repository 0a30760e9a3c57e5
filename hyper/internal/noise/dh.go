package noise

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"
	flynn "github.com/flynn/noise"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrPoint means that the other side sent a public key that must not be used:
// not canonical, not on the curve, or not in the subgroup of prime order.
var ErrPoint = errors.New("noise: unusable public key")

// minusOne is L-1, the largest scalar.
var minusOne = edwards25519.NewScalar().Negate(scalarOne())

func scalarOne() *edwards25519.Scalar {
	one, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic("noise: " + err.Error())
	}
	return one
}

// decodePoint decodes and checks a public key.
func decodePoint(pub []byte) (*edwards25519.Point, error) {
	p, err := edwards25519.NewIdentityPoint().SetBytes(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrPoint, err)
	}
	// SetBytes reduces coordinates; the sign of x = 0 is lost too.
	if string(p.Bytes()) != string(pub) {
		return nil, fmt.Errorf("%w: not canonical", ErrPoint)
	}
	identity := edwards25519.NewIdentityPoint()
	if p.Equal(identity) == 1 {
		return nil, fmt.Errorf("%w: identity", ErrPoint)
	}
	// P has prime order L exactly if (L-1)P = -P. The point is public, so the
	// faster multiplication of variable time will do: 253 doublings and some 20
	// additions. Every other point of small order fails here as well.
	q := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(minusOne, p, edwards25519.NewScalar())
	if q.Add(q, p).Equal(identity) != 1 {
		return nil, fmt.Errorf("%w: not in the subgroup of prime order", ErrPoint)
	}
	return p, nil
}

// seedScalar returns the secret scalar of a 32-byte seed, reduced modulo L.
// Points are checked to have order L, so the reduction changes no result.
func seedScalar(seed []byte) *edwards25519.Scalar {
	h := sha512.Sum512(seed)
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic("noise: " + err.Error())
	}
	return s
}

// curve is the Diffie-Hellman function of one handshake. Private keys are
// canonical scalars. It remembers the points that it has checked: a handshake
// uses each remote point up to twice.
type curve struct {
	seen   [2][32]byte
	points [2]*edwards25519.Point
	next   int
}

var _ flynn.DHFunc = (*curve)(nil)

// GenerateKeypair makes a key pair from a seed of 32 random bytes.
func (c *curve) GenerateKeypair(random io.Reader) (flynn.DHKey, error) {
	var seed [32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return flynn.DHKey{}, fmt.Errorf("make ephemeral key: %w", err)
	}
	s := seedScalar(seed[:])
	return flynn.DHKey{
		Private: s.Bytes(),
		Public:  new(edwards25519.Point).ScalarBaseMult(s).Bytes(),
	}, nil
}

// DH returns the compressed point private * pub.
func (c *curve) DH(private, pub []byte) ([]byte, error) {
	p, err := c.point(pub)
	if err != nil {
		return nil, err
	}
	s, err := edwards25519.NewScalar().SetCanonicalBytes(private)
	if err != nil {
		return nil, fmt.Errorf("noise: secret scalar: %w", err)
	}
	out := new(edwards25519.Point).ScalarMult(s, p)
	if out.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, fmt.Errorf("%w: result is the identity", ErrPoint)
	}
	return out.Bytes(), nil
}

func (c *curve) point(pub []byte) (*edwards25519.Point, error) {
	for i, p := range c.points {
		if p != nil && string(c.seen[i][:]) == string(pub) {
			return p, nil
		}
	}
	p, err := decodePoint(pub)
	if err != nil {
		return nil, err
	}
	c.points[c.next], c.seen[c.next] = p, [32]byte(pub)
	c.next = (c.next + 1) % len(c.points)
	return p, nil
}

// DHLen returns the size of a public key.
func (c *curve) DHLen() int { return 32 }

// DHName returns the name of the function in the protocol name.
func (c *curve) DHName() string { return "Ed25519" }

// staticKey converts an identity to the form that curve uses.
func staticKey(kp *hypercrypto.KeyPair) flynn.DHKey {
	seed := kp.Seed()
	return flynn.DHKey{Private: seedScalar(seed[:]).Bytes(), Public: kp.Public[:]}
}
