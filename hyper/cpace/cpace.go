package cpace

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/gtank/ristretto255"
)

// Sizes in bytes.
const (
	// ShareSize is the size of the message that each side sends first.
	ShareSize = 32
	// TagSize is the size of a confirmation.
	TagSize = sha512.Size
)

// ErrShare means that the other side sent no valid share. The run is over, and
// counts as a guess of the other side.
var ErrShare = errors.New("cpace: invalid share")

// Input is what both sides must agree on; only the associated data differs.
type Input struct {
	// Secret is the shared short secret.
	Secret []byte
	// Context names the purpose and the parties, so that a secret that is used
	// for two purposes gives different keys.
	Context []byte
	// Session is unique to this run and equal on both sides, such as the
	// handshake hash of the connection.
	Session []byte
	// Data is sent in the clear along with this side's share, by the caller, and
	// authenticated by the run. It may be empty.
	Data []byte
}

// Exchange is one run, between sending the share and receiving the other's. It
// is good for one call of Finish.
type Exchange struct {
	initiator bool
	session   []byte
	data      []byte
	scalar    *ristretto255.Scalar
	share     [ShareSize]byte
}

// Initiate begins a run on the side that speaks first.
func Initiate(in Input) *Exchange { return begin(in, true, randomScalar()) }

// Respond begins a run on the side that answers.
func Respond(in Input) *Exchange { return begin(in, false, randomScalar()) }

func begin(in Input, initiator bool, scalar *ristretto255.Scalar) *Exchange {
	e := &Exchange{initiator: initiator, session: in.Session, data: in.Data, scalar: scalar}
	ristretto255.NewElement().ScalarMult(scalar, generator(in)).Encode(e.share[:0])
	return e
}

// Share is the message for the other side.
func (e *Exchange) Share() [ShareSize]byte { return e.share }

// Finish takes the share and the associated data that the other side sent. It
// never tells whether the secrets are the same; the confirmations do.
func (e *Exchange) Finish(share [ShareSize]byte, data []byte) (*Key, error) {
	if e.scalar == nil {
		panic("cpace: a run is finished once")
	}
	k, ok := multiply(e.scalar, share[:])
	e.scalar = nil
	// The own share, reflected, would make the own confirmation valid.
	if !ok || share == e.share {
		return nil, ErrShare
	}
	mine, theirs := lvCat(e.share[:], e.data), lvCat(share[:], data)
	transcript := append(mine, theirs...)
	if !e.initiator {
		transcript = append(theirs, mine...)
	}
	isk := sha512.Sum512(append(lvCat([]byte(dsi+"_ISK"), e.session, k), transcript...))
	mac := sha512.New()
	mac.Write([]byte("CPaceMac"))
	mac.Write(e.session)
	mac.Write(isk[:])
	macKey := mac.Sum(nil)
	return &Key{isk: isk, mine: tag(macKey, e.share[:], e.data), theirs: tag(macKey, share[:], data)}, nil
}

// Key is the result of a run. It is equal on both sides if their secrets are,
// and unknown to everybody else.
type Key struct {
	isk          [sha512.Size]byte
	mine, theirs [TagSize]byte
}

// Tag is the confirmation for the other side. Sending it allows the other side
// to check one guess.
func (k *Key) Tag() [TagSize]byte { return k.mine }

// Confirm tells whether the other side's confirmation is right: whether it knows
// the secret, sees the same session and has read what this side sent.
func (k *Key) Confirm(tag [TagSize]byte) bool { return hmac.Equal(tag[:], k.theirs[:]) }

// Derive returns a key for the purpose that label names.
func (k *Key) Derive(label string) [32]byte {
	h := hmac.New(sha512.New, k.isk[:])
	h.Write([]byte(label))
	return [32]byte(h.Sum(nil))
}

func tag(key, share, data []byte) [TagSize]byte {
	h := hmac.New(sha512.New, key)
	h.Write(lvCat(share, data))
	return [TagSize]byte(h.Sum(nil))
}

// dsi separates this group's hashes from those of others.
const dsi = "CPaceRistretto255"

// generator is calculate_generator of the draft.
func generator(in Input) *ristretto255.Element {
	sum := sha512.Sum512(generatorString(in.Secret, in.Context, in.Session))
	return ristretto255.NewElement().FromUniformBytes(sum[:])
}

// generatorString pads the secret so that it and the constant before it fill a
// block of the hash: the time of what follows does not depend on its length.
func generatorString(secret, context, session []byte) []byte {
	head := len(lvCat([]byte(dsi))) + len(lvCat(secret)) + 1
	return lvCat([]byte(dsi), secret, make([]byte, max(0, sha512.BlockSize-head)), context, session)
}

// multiply is scalar_mult_vfy. It fails for an invalid encoding and for a result
// that is the neutral element.
func multiply(y *ristretto255.Scalar, x []byte) (product []byte, ok bool) {
	e := ristretto255.NewElement()
	if e.Decode(x) != nil {
		return nil, false
	}
	e.ScalarMult(y, e)
	if e.Equal(ristretto255.NewElement()) == 1 {
		return nil, false
	}
	return e.Encode(nil), true
}

// randomScalar is uniform but for a bias of 2^-260, and not zero.
func randomScalar() *ristretto255.Scalar {
	var b [64]byte
	for {
		rand.Read(b[:]) // never fails
		s := ristretto255.NewScalar().FromUniformBytes(b[:])
		if s.Equal(ristretto255.NewScalar()) == 0 {
			return s
		}
	}
}

// lvCat joins parts, each behind its length as LEB128.
func lvCat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		n := uint(len(p))
		for ; n >= 0x80; n >>= 7 {
			out = append(out, byte(n)|0x80)
		}
		out = append(append(out, byte(n)), p...)
	}
	return out
}

// String keeps keys out of logs.
func (k *Key) String() string { return fmt.Sprintf("cpace.Key(%p)", k) }

// GoString is String.
func (k *Key) GoString() string { return k.String() }
