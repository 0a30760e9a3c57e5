package identity

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
)

// errFile is the error of bytes that are no key file.
var errFile = errors.New("not a key file")

const (
	magic = "cloudpal identity\n"
	// The version tells what is kept.
	versionDevice = 1 // the device's key
	versionPhrase = 2 // the person's phrase, too
	// maxFile limits the size of a key file in bytes.
	maxFile = 16 << 10
)

// keyFile is the content of a key file.
//
//	"cloudpal identity\n", uint version, uint protection,
//	32 identity, 32 device, buffer proof,
//	protection 1 (keyring):    32 name of the key,
//	protection 2 (passphrase): 16 salt, uint passes, uint KiB, uint threads,
//	protection 1 and 2:        24 nonce, sealed secrets
//	protection 3 (plain):      secrets
//
// The secrets are the seed of the device's key, 32 bytes, and in version 2, which is
// never plain, the entropy of the phrase: its length, a byte, and 32 bytes, the last of
// them 0 if it is shorter. The seal is XChaCha20-Poly1305 with everything before the
// nonce as additional data.
type keyFile struct {
	protection Protection
	identity   hypercrypto.PublicKey
	device     hypercrypto.PublicKey
	proof      *identitykey.Proof
	phrase     bool // the phrase is among the secrets

	name   [32]byte // of the key in the keyring
	salt   [16]byte
	cost   cost
	nonce  [chacha20poly1305.NonceSizeX]byte
	sealed []byte // with plain, the secrets themselves
}

// cost is what it takes to try one passphrase.
type cost struct {
	passes  uint32
	memory  uint32 // KiB
	threads uint8
}

// newCost is the second recommendation of RFC 9106, section 4, with twice the
// memory: a third of a second on a small machine.
var newCost = cost{passes: 3, memory: 128 << 10, threads: 4}

// Bounds of what a file can make this machine do.
const (
	maxPasses  = 64
	maxMemory  = 1 << 20 // KiB
	maxThreads = 32
)

// Sizes of the secrets.
const (
	seedSize   = 32
	phraseSize = 1 + 32
)

// sealedSize returns the size of the sealed secrets.
func (f *keyFile) sealedSize() int {
	size := seedSize
	if f.phrase {
		size += phraseSize
	}
	if f.protection != Plain {
		size += chacha20poly1305.Overhead
	}
	return size
}

// head appends everything before the nonce.
func (f *keyFile) head(b []byte) []byte {
	b = append(b, magic...)
	version := uint64(versionDevice)
	if f.phrase {
		version = versionPhrase
	}
	b = compact.AppendUint(b, version)
	b = compact.AppendUint(b, uint64(f.protection))
	b = append(append(b, f.identity[:]...), f.device[:]...)
	b = compact.AppendBuffer(b, f.proof.AppendTo(nil))
	switch f.protection {
	case Keyring:
		b = append(b, f.name[:]...)
	case Passphrase:
		b = append(b, f.salt[:]...)
		b = compact.AppendUint(b, uint64(f.cost.passes))
		b = compact.AppendUint(b, uint64(f.cost.memory))
		b = compact.AppendUint(b, uint64(f.cost.threads))
	}
	return b
}

func (f *keyFile) appendTo(b []byte) []byte {
	b = f.head(b)
	if f.protection != Plain {
		b = append(b, f.nonce[:]...)
	}
	return append(b, f.sealed...)
}

// decodeKeyFile reads a key file and checks what can be checked without its key.
func decodeKeyFile(b []byte) (*keyFile, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return nil, errFile
	}
	r := compact.NewReader(b[len(magic):])
	v := r.Uint()
	if r.Err() == nil && v != versionDevice && v != versionPhrase {
		return nil, fmt.Errorf("a key file of version %d, which is not known", v)
	}
	f := &keyFile{phrase: v == versionPhrase, protection: Protection(min(r.Uint(), 255)), identity: r.Fixed32(), device: r.Fixed32()}
	proof := r.Buffer()
	switch f.protection {
	case Keyring:
		f.name = r.Fixed32()
	case Passphrase:
		copy(f.salt[:], r.Fixed(len(f.salt)))
		passes, memory, threads := r.Uint(), r.Uint(), r.Uint()
		if r.Err() == nil && (passes < 1 || passes > maxPasses || memory < 8 || memory > maxMemory || threads < 1 || threads > maxThreads) {
			return nil, fmt.Errorf("%w: a passphrase would take %d passes over %d KiB by %d threads", errFile, passes, memory, threads)
		}
		f.cost = cost{uint32(passes), uint32(memory), uint8(threads)}
	case Plain:
		if f.phrase {
			return nil, fmt.Errorf("%w: a phrase without a seal", errFile)
		}
	default:
		return nil, fmt.Errorf("%w: protection %d is not known", errFile, f.protection)
	}
	if f.protection != Plain {
		copy(f.nonce[:], r.Fixed(len(f.nonce)))
	}
	f.sealed = append([]byte(nil), r.Fixed(f.sealedSize())...)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errFile, err)
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errFile, r.Len())
	}
	var err error
	if f.proof, err = identitykey.DecodeProof(proof); err != nil {
		return nil, fmt.Errorf("%w: %w", errFile, err)
	}
	if err := f.proof.VerifyDevice(identitykey.Expectation{Identity: &f.identity, Device: &f.device}); err != nil {
		return nil, fmt.Errorf("%w: %w", errFile, err)
	}
	return f, nil
}

// secrets are what a key file keeps.
type secrets struct {
	device *hypercrypto.KeyPair
	phrase *identitykey.Mnemonic // nil if it is not kept
}

// seal seals the secrets with a key that is derived from secret.
func (f *keyFile) seal(s *secrets, secret []byte) {
	seed := s.device.Seed()
	plain := append(make([]byte, 0, seedSize+phraseSize), seed[:]...)
	if f.phrase = s.phrase != nil; f.phrase {
		entropy := s.phrase.Entropy()
		plain = append(append(plain, byte(len(entropy))), entropy...)
		plain = append(plain, make([]byte, seedSize+phraseSize-len(plain))...)
	}
	if f.protection == Plain {
		f.sealed = plain
		return
	}
	defer clear(plain)
	rand.Read(f.nonce[:]) // never fails
	f.sealed = f.aead(secret).Seal(nil, f.nonce[:], plain, f.head(nil))
}

// errSecret is the error of a key or passphrase that does not open the seal.
var errSecret = errors.New("it does not open the key file")

// unseal returns the secrets.
func (f *keyFile) unseal(secret []byte) (*secrets, error) {
	plain := f.sealed
	if f.protection != Plain {
		var err error
		if plain, err = f.aead(secret).Open(nil, f.nonce[:], f.sealed, f.head(nil)); err != nil {
			return nil, errSecret
		}
		defer clear(plain)
	}
	s := &secrets{device: hypercrypto.KeyPairFromSeed([32]byte(plain))}
	if s.device.Public != f.device {
		return nil, fmt.Errorf("%w: the key in it is that of another device", errFile)
	}
	if !f.phrase {
		return s, nil
	}
	entropy := plain[seedSize+1:]
	entropy = entropy[:min(int(plain[seedSize]), len(entropy))]
	phrase, err := identitykey.MnemonicOf(entropy)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFile, err)
	}
	if phrase.Keys().Identity.Public != f.identity {
		return nil, fmt.Errorf("%w: the phrase in it is that of another person", errFile)
	}
	s.phrase = &phrase
	return s, nil
}

func (f *keyFile) aead(secret []byte) cipher.AEAD {
	key := secret
	if f.protection == Passphrase {
		key = argon2.IDKey(secret, f.salt[:], f.cost.passes, f.cost.memory, f.cost.threads, chacha20poly1305.KeySize)
		defer clear(key)
	}
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("identity: " + err.Error()) // the size is right
	}
	return a
}

func newSalt() (salt [16]byte) {
	rand.Read(salt[:]) // never fails
	return salt
}
