package blindpairing

import (
	"crypto/cipher"
	"errors"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Namespaces that keep uses of one key apart.
var (
	nsSignature  = hypercrypto.Namespace("blind-pairing", 0)
	nsToken      = hypercrypto.Namespace("blind-pairing", 1)
	nsInviteID   = hypercrypto.Namespace("blind-pairing", 2)
	nsRequestID  = hypercrypto.Namespace("blind-pairing", 3)
	nsSession    = hypercrypto.Namespace("blind-pairing", 4)
	nsSessionKey = hypercrypto.Namespace("blind-pairing", 5)
	nsEncrypt    = hypercrypto.Namespace("blind-pairing", 6)
	nsNonce      = hypercrypto.Namespace("blind-pairing", 7)

	nsEphemeral = hypercrypto.Namespace("blind-pairing/dht", 0)
	nsReply     = hypercrypto.Namespace("blind-pairing/dht", 1)
	nsDiscovery = hypercrypto.Namespace("blind-pairing/dht", 2)
)

var errSealed = errors.New("it was sealed for another invite, or changed on the way")

// seal encrypts the one message that key encrypts in a session.
func seal(key, session, plain []byte) []byte {
	a, nonce := sealer(key, session)
	return a.Seal(nil, nonce, plain, nonce)
}

// unseal opens what seal made.
func unseal(key, session, sealed []byte) ([]byte, error) {
	a, nonce := sealer(key, session)
	plain, err := a.Open(nil, nonce, sealed, nonce)
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func sealer(key, session []byte) (a cipher.AEAD, nonce []byte) {
	secret := hypercrypto.Sum(nsEncrypt[:], key)
	a, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		panic("blindpairing: " + err.Error()) // the size is right
	}
	h, err := blake2b.New(chacha20poly1305.NonceSizeX, nil)
	if err != nil {
		panic("blindpairing: " + err.Error())
	}
	h.Write(nsNonce[:])
	h.Write(key)
	h.Write(session)
	return a, h.Sum(nil)
}
