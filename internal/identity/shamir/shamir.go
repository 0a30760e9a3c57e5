package shamir

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// MaxShares is the largest number of shares: one for each place but 0.
const MaxShares = 255

// ErrShares is the error of shares that cannot belong together.
var ErrShares = errors.New("shamir: the shares do not fit together")

// Share is a part of a secret.
type Share struct {
	// X is the place, never 0.
	X byte
	// Y is the values there, as many as the secret has bytes.
	Y []byte
}

// Split returns count shares at the places 1, 2, …; any needed of them restore the
// secret.
func Split(secret []byte, needed, count int) ([]Share, error) {
	if needed < 1 || count < needed || count > MaxShares {
		return nil, fmt.Errorf("shamir: %d of %d shares", needed, count)
	}
	coefficients := make([]byte, len(secret)*(needed-1))
	rand.Read(coefficients) // never fails
	defer clear(coefficients)
	return split(secret, coefficients, needed, count), nil
}

// split uses needed-1 coefficients for each byte of the secret, of the highest power
// first.
func split(secret, coefficients []byte, needed, count int) []Share {
	shares := make([]Share, count)
	for i := range shares {
		s := Share{X: byte(i + 1), Y: make([]byte, len(secret))}
		for k, b := range secret {
			var y byte
			for _, c := range coefficients[k*(needed-1) : (k+1)*(needed-1)] {
				y = mul(y^c, s.X)
			}
			s.Y[k] = y ^ b
		}
		shares[i] = s
	}
	return shares
}

// Combine restores the secret from as many shares as are needed, or more. With fewer
// it gives something else.
func Combine(shares []Share) ([]byte, error) {
	if len(shares) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrShares)
	}
	secret := make([]byte, len(shares[0].Y))
	for i, s := range shares {
		if s.X == 0 || len(s.Y) != len(secret) {
			return nil, fmt.Errorf("%w: a share of %d bytes at place %d", ErrShares, len(s.Y), s.X)
		}
		// The value at 0 of the polynomial that is 1 here and 0 at the other places.
		weight := byte(1)
		for k, other := range shares {
			if k == i {
				continue
			}
			if other.X == s.X {
				return nil, fmt.Errorf("%w: two at place %d", ErrShares, s.X)
			}
			weight = mul(weight, mul(other.X, inverse(other.X^s.X)))
		}
		for k, y := range s.Y {
			secret[k] ^= mul(weight, y)
		}
	}
	return secret, nil
}
