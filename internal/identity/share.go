package identity

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/identity/shamir"
	"github.com/tradle/cloudpal/internal/link"
)

// MaxShares is how many shares a phrase can be split into.
const MaxShares = 16

// Share is a part of a recovery phrase.
//
//	u8 version (1), u8 needed, u8 place, 8 set, 8 check, values, 4 sum
//
// It does not say whose phrase it is a part of.
type Share struct {
	// Needed is how many shares of the set restore the phrase.
	Needed int
	// Place is the number of the share in its set, from 1.
	Place int

	set    [8]byte // random, the same for shares that belong together
	check  [8]byte // of the phrase
	values []byte
}

const (
	shareVersion = 1
	shareHead    = 3 + 8 + 8
	shareSum     = 4
)

// Split splits a phrase into count shares, of which any needed restore it.
func Split(phrase identitykey.Mnemonic, needed, count int) ([]Share, error) {
	switch {
	case needed < 2:
		return nil, fault.New(fault.Usage, "with %d needed share each friend would have the whole phrase", needed).Hint("at least 2 must be needed")
	case count < needed:
		return nil, fault.New(fault.Usage, "%d shares cannot be enough if %d are needed", count, needed)
	case count > MaxShares:
		return nil, fault.New(fault.Usage, "%d shares are too many; %d are possible", count, MaxShares)
	}
	entropy := phrase.Entropy()
	defer clear(entropy)
	parts, err := shamir.Split(entropy, needed, count)
	if err != nil {
		return nil, err
	}
	var set [8]byte
	rand.Read(set[:]) // never fails
	out := make([]Share, count)
	for i, p := range parts {
		out[i] = Share{Needed: needed, Place: int(p.X), set: set, check: shareCheck(set, entropy), values: p.Y}
	}
	return out, nil
}

// shareCheck tells a right phrase from a wrong one, without telling anything that
// helps to find it: it has 64 bits, the phrase at least 128.
func shareCheck(set [8]byte, entropy []byte) [8]byte {
	ns := hypercrypto.Namespace("cloudpal/share", 0)
	h := hypercrypto.Sum(ns[:], set[:], entropy)
	return [8]byte(h[:8])
}

// Link returns the share as a link. It is a secret.
func (s *Share) Link() string { return link.Format(link.Share, s.encode()) }

// String names the share without giving it away.
func (s Share) String() string {
	return fmt.Sprintf("share %d of a set of which %d are needed", s.Place, s.Needed)
}

// GoString is String.
func (s Share) GoString() string { return s.String() }

func (s *Share) encode() []byte {
	b := []byte{shareVersion, byte(s.Needed), byte(s.Place)}
	b = append(append(append(b, s.set[:]...), s.check[:]...), s.values...)
	sum := hypercrypto.Sum(b)
	return append(b, sum[:shareSum]...)
}

// ParseShare reads a link to a share. The error is of kind Usage.
func ParseShare(text string) (*Share, error) {
	b, err := link.Parse(link.Share, text)
	if err != nil {
		return nil, err
	}
	s, err := decodeShare(b)
	if err != nil {
		return nil, link.Damaged(link.Share, err)
	}
	return s, nil
}

func decodeShare(b []byte) (*Share, error) {
	n := len(b) - shareHead - shareSum
	if n < 16 || n > 32 || n%4 != 0 {
		return nil, fmt.Errorf("it has %d bytes", len(b))
	}
	sum := hypercrypto.Sum(b[:shareHead+n])
	if !bytes.Equal(sum[:shareSum], b[shareHead+n:]) {
		return nil, errors.New("something in it is mistyped")
	}
	if b[0] != shareVersion {
		return nil, fmt.Errorf("version %d is not known", b[0])
	}
	s := &Share{Needed: int(b[1]), Place: int(b[2]), values: bytes.Clone(b[shareHead : shareHead+n])}
	copy(s.set[:], b[3:])
	copy(s.check[:], b[11:])
	if s.Needed < 2 || s.Needed > MaxShares || s.Place < 1 || s.Place > MaxShares {
		return nil, fmt.Errorf("it is number %d of a set of which %d are needed", s.Place, s.Needed)
	}
	return s, nil
}

// Combine restores the phrase. The same share twice counts once. Shares beyond those
// that are needed make up for wrong ones. The error is of kind Usage, or Corrupt if
// there are enough shares but some of them are wrong.
func Combine(shares []*Share) (identitykey.Mnemonic, error) {
	var none identitykey.Mnemonic
	distinct, err := distinctShares(shares)
	if err != nil {
		return none, err
	}
	first := distinct[0]
	if missing := first.Needed - len(distinct); missing > 0 {
		return none, fault.New(fault.Usage, "%d shares are needed, there are %d", first.Needed, len(distinct)).Hint("find %d more", missing)
	}
	for chosen := range choices(distinct, first.Needed) {
		entropy, err := shamir.Combine(chosen)
		if err == nil && shareCheck(first.set, entropy) == first.check {
			defer clear(entropy)
			return identitykey.MnemonicOf(entropy)
		}
	}
	e := fault.New(fault.Corrupt, "the shares do not give the phrase: at least one of them is wrong")
	if len(distinct) < MaxShares {
		e = e.Hint("one more share, if it is right, makes up for a wrong one")
	}
	return none, e
}

// distinctShares checks that the shares belong together and drops doubles.
func distinctShares(shares []*Share) ([]*Share, error) {
	var out []*Share
	for _, s := range shares {
		double := false
		for _, o := range out {
			if s.set != o.set || s.check != o.check || s.Needed != o.Needed || len(s.values) != len(o.values) {
				return nil, fault.New(fault.Usage, "the shares are of different sets: of different people, or made at different times").
					Hint("use shares of one set only")
			}
			double = double || s.Place == o.Place && bytes.Equal(s.values, o.values)
		}
		if !double {
			out = append(out, s)
		}
	}
	switch {
	case len(out) == 0:
		return nil, fault.New(fault.Usage, "there are no shares")
	case len(out) > MaxShares:
		return nil, fault.New(fault.Usage, "%d different shares are too many", len(out))
	}
	return out, nil
}

// choices yields all ways to choose n of the shares. There are at most 12870.
func choices(shares []*Share, n int) iter.Seq[[]shamir.Share] {
	return func(yield func([]shamir.Share) bool) {
		var choose func(from int, chosen []shamir.Share) bool
		choose = func(from int, chosen []shamir.Share) bool {
			if len(chosen) == n {
				return yield(chosen)
			}
			for i := from; i <= len(shares)-(n-len(chosen)); i++ {
				if !choose(i+1, append(chosen, shamir.Share{X: byte(shares[i].Place), Y: shares[i].values})) {
					return false
				}
			}
			return true
		}
		choose(0, make([]shamir.Share, 0, n))
	}
}
