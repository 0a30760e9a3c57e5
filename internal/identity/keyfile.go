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
	magic   = "cloudpal identity\n"
	version = 1
	// maxFile limits the size of a key file in bytes.
	maxFile = 16 << 10
)

// keyFile is the content of a key file.
//
//	"cloudpal identity\n", uint version (1), uint protection,
//	32 identity, 32 device, buffer proof,
//	protection 1 (keyring):    32 name of the key,
//	protection 2 (passphrase): 16 salt, uint passes, uint KiB, uint threads,
//	protection 1 and 2:        24 nonce, 48 sealed seed
//	protection 3 (plain):      32 seed
//
// The seal is XChaCha20-Poly1305 with everything before the nonce as additional data.
type keyFile struct {
	protection Protection
	identity   hypercrypto.PublicKey
	device     hypercrypto.PublicKey
	proof      *identitykey.Proof

	name   [32]byte // of the key in the keyring
	salt   [16]byte
	cost   cost
	nonce  [chacha20poly1305.NonceSizeX]byte
	sealed []byte // with plain, the seed itself
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

const sealedSize = 32 + chacha20poly1305.Overhead

// head appends everything before the nonce.
func (f *keyFile) head(b []byte) []byte {
	b = append(b, magic...)
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
	if v := r.Uint(); r.Err() == nil && v != version {
		return nil, fmt.Errorf("a key file of version %d, which is not known", v)
	}
	f := &keyFile{protection: Protection(min(r.Uint(), 255)), identity: r.Fixed32(), device: r.Fixed32()}
	proof := r.Buffer()
	size := sealedSize
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
		size = 32
	default:
		return nil, fmt.Errorf("%w: protection %d is not known", errFile, f.protection)
	}
	if f.protection != Plain {
		copy(f.nonce[:], r.Fixed(len(f.nonce)))
	}
	f.sealed = append([]byte(nil), r.Fixed(size)...)
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

// seal seals the seed of the device with a key that is derived from secret.
func (f *keyFile) seal(seed [32]byte, secret []byte) {
	if f.protection == Plain {
		f.sealed = append([]byte(nil), seed[:]...)
		return
	}
	rand.Read(f.nonce[:]) // never fails
	f.sealed = f.aead(secret).Seal(nil, f.nonce[:], seed[:], f.head(nil))
}

// errSecret is the error of a key or passphrase that does not open the seal.
var errSecret = errors.New("it does not open the key file")

// unseal returns the device's key pair.
func (f *keyFile) unseal(secret []byte) (*hypercrypto.KeyPair, error) {
	seed := f.sealed
	if f.protection != Plain {
		var err error
		if seed, err = f.aead(secret).Open(nil, f.nonce[:], f.sealed, f.head(nil)); err != nil {
			return nil, errSecret
		}
		defer clear(seed)
	}
	kp := hypercrypto.KeyPairFromSeed([32]byte(seed))
	if kp.Public != f.device {
		return nil, fmt.Errorf("%w: the key in it is that of another device", errFile)
	}
	return kp, nil
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
