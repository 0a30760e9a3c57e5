package identitykey

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The path of an identity's keys, after SLIP-48: purpose, coin, network, account
// and index.
const (
	purpose = 48
	coin    = 5338
	network = 0
	account = 0

	identityIndex  = 0
	discoveryIndex = 1
)

// Keys are the secrets of an identity that follow from its phrase.
type Keys struct {
	// Identity signs devices. Its public half names the person.
	Identity *hypercrypto.KeyPair
	// ProfileDiscovery signs the log in which a person's profile is found.
	ProfileDiscovery *hypercrypto.KeyPair

	symmetric [64]byte
}

// Keys derives the keys of the phrase.
func (m Mnemonic) Keys() *Keys {
	seed := m.Seed()
	k := &Keys{
		Identity:         signingKey(seed[:], purpose, coin, network, account, identityIndex),
		ProfileDiscovery: signingKey(seed[:], purpose, coin, network, account, discoveryIndex),
	}
	k.symmetric = mac([]byte("Symmetric key seed"), seed[:])
	return k
}

// EncryptionKey returns the key that encrypts the profile whose key is profile.
func (k *Keys) EncryptionKey(profile [32]byte) [32]byte {
	return symmetricKey(k.symmetric, "SLIP-0021", "keet-identity-key", hex.EncodeToString(profile[:]), "encryption key")
}

// ProfileDiscoveryEncryptionKey returns the key that encrypts the log in which
// the profile is found.
func (k *Keys) ProfileDiscoveryEncryptionKey() [32]byte {
	return k.EncryptionKey(blake2b.Sum256([]byte("profile discovery")))
}

// signingKey derives an Ed25519 key pair after SLIP-10. All steps are hardened.
func signingKey(seed []byte, path ...uint32) *hypercrypto.KeyPair {
	node := mac([]byte("ed25519 seed"), seed)
	for _, step := range path {
		data := append([]byte{0}, node[:32]...)
		data = binary.BigEndian.AppendUint32(data, step|1<<31)
		node = mac(node[32:], data)
	}
	return hypercrypto.KeyPairFromSeed([32]byte(node[:32]))
}

// symmetricKey derives a key after SLIP-21.
func symmetricKey(node [64]byte, path ...string) [32]byte {
	for _, label := range path {
		node = mac(node[:32], append([]byte{0}, label...))
	}
	return [32]byte(node[32:])
}

func mac(key, data []byte) [64]byte {
	h := hmac.New(sha512.New, key)
	h.Write(data)
	return [64]byte(h.Sum(nil))
}
