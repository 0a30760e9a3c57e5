package identity

import (
	"crypto/rand"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// Protection is how a device's key is kept.
type Protection uint8

// The ways of keeping a key. Their numbers are part of the key file.
const (
	Keyring    Protection = 1 // sealed with a key in the system's keyring
	Passphrase Protection = 2 // sealed with a passphrase
	Plain      Protection = 3 // readable for whoever can read the file
)

var protections = map[Protection]string{Keyring: "keyring", Passphrase: "passphrase", Plain: "plain"}

// String returns a word.
func (p Protection) String() string { return protections[p] }

// ParseProtection reverses [Protection.String]. The error is of kind Usage.
func ParseProtection(word string) (Protection, error) {
	for p, w := range protections {
		if w == word {
			return p, nil
		}
	}
	return 0, fault.New(fault.Usage, "%q is no way to keep a key", word).Hint("it is keyring, passphrase or plain")
}

// checkProtection refuses what does not say how to keep a key.
func checkProtection(p Protection, passphrase string) error {
	switch {
	case p.String() == "":
		return fault.New(fault.Usage, "no way to keep the key was chosen")
	case p == Passphrase:
		return checkPassphrase(passphrase)
	}
	return nil
}

// MinPassphrase is the least length of a passphrase in characters.
const MinPassphrase = 8

// checkPassphrase refuses what anybody would try first.
func checkPassphrase(p string) error {
	if utf8.RuneCountInString(p) < MinPassphrase || strings.Trim(p, p[:1]) == "" {
		return fault.New(fault.Usage, "the passphrase is too short").Hint("take at least %d characters; several words are best", MinPassphrase)
	}
	return nil
}

// Ring is a system's keyring. It holds secrets for the person who is logged in.
type Ring interface {
	// Get returns a secret, or ErrNotInRing.
	Get(name string) (string, error)
	Set(name, secret string) error
	Delete(name string) error
	// Available tells whether there is a keyring that answers.
	Available() bool
}

// ErrNotInRing: the keyring has no secret of that name.
var ErrNotInRing = errors.New("identity: the keyring does not have the key")

// ringKey returns the key of that name in the keyring.
func ringKey(r Ring, name [32]byte) ([]byte, error) {
	text, err := r.Get(ringName(name))
	if errors.Is(err, ErrNotInRing) {
		return nil, fault.New(fault.NotFound, "%w", err).
			Hint("the key file may come from another machine; cloudpal identity restore makes a new key there, with the recovery phrase")
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the keyring of this system does not answer: %w", err).Hint("log in to the desktop, or unlock the keyring")
	}
	key, err := hypercrypto.DecodeZ32(text)
	if err != nil || len(key) != 32 {
		return nil, fault.New(fault.Corrupt, "the key in the keyring is damaged")
	}
	return key, nil
}

// newRingKey puts a new key into the keyring.
func newRingKey(r Ring) (name [32]byte, key []byte, err error) {
	key = make([]byte, 32)
	rand.Read(key) // never fails
	rand.Read(name[:])
	if err := r.Set(ringName(name), hypercrypto.EncodeZ32(key)); err != nil {
		return name, nil, fault.New(fault.Unavailable, "the keyring of this system does not take the key: %w", err).
			Hint("use a passphrase instead: --protect passphrase")
	}
	return name, key, nil
}

func ringName(name [32]byte) string { return "device " + hypercrypto.EncodeZ32(name[:]) }
