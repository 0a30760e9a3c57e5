package hypercrypto

import (
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/blake2b"

	"github.com/tradle/cloudpal/hyper/internal/salsa20lanes"
)

// EncryptionPadding is how many bytes longer an encrypted block is than its
// plaintext, in every scheme of this package.
const EncryptionPadding = 8

// ErrEncryption is the error of a stored block that cannot be decrypted.
var ErrEncryption = errors.New("hypercrypto: cannot decrypt block")

// EncryptionKey is the secret that the block keys of a core are derived from.
// It never appears in text form by itself.
type EncryptionKey [32]byte

// String tells nothing about the key.
func (EncryptionKey) String() string { return "(encryption key)" }

// GoString tells nothing about the key.
func (k EncryptionKey) GoString() string { return k.String() }

// BlockEncryption turns blocks into their stored form and back. The stored form
// is what is hashed, signed and sent. There is no authentication in it: that is
// the tree's part. Implementations are safe for concurrent use.
type BlockEncryption interface {
	// Padding returns the number of bytes in front of each stored block. It never
	// changes.
	Padding() int
	// Encrypt changes block in place. Its first Padding bytes are free to write,
	// the plaintext follows. fork is the fork the block is signed under: one
	// (index, fork) must never be used for two plaintexts.
	Encrypt(index, fork uint64, block []byte) error
	// Decrypt changes block, the stored form, in place. The plaintext follows
	// the first Padding bytes, whose content is then undefined.
	Decrypt(index uint64, block []byte) error
}

// BlockKeys are the two keys of the default scheme.
type BlockKeys struct {
	Block    [32]byte // encrypts blocks
	Blinding [32]byte // hides the fork in the padding
}

// DeriveBlockKey returns the block key of the core for an encryption key. compat
// must tell whether the core is a compat core, see [Manifest.Matches].
func DeriveBlockKey(key EncryptionKey, core Key, compat bool) [32]byte {
	if compat {
		return KeyedSum(core[:], key[:])
	}
	return Sum(nsDefaultEncryption[:], core[:], key[:])
}

// NewBlockKeys returns the keys of the default scheme for a ready block key.
func NewBlockKeys(blockKey [32]byte) BlockKeys {
	return BlockKeys{Block: blockKey, Blinding: Sum(blockKey[:])}
}

// DefaultEncryption returns the scheme of cores that are opened with an
// encryption key.
func DefaultEncryption(key EncryptionKey, core Key, compat bool) BlockEncryption {
	return BlockKeyEncryption(DeriveBlockKey(key, core, compat))
}

// BlockKeyEncryption returns the default scheme with a ready block key, which
// works for one core only.
func BlockKeyEncryption(blockKey [32]byte) BlockEncryption {
	return &defaultEncryption{NewBlockKeys(blockKey)}
}

type defaultEncryption struct{ keys BlockKeys }

func (*defaultEncryption) Padding() int { return EncryptionPadding }

func (e *defaultEncryption) Encrypt(index, fork uint64, block []byte) error {
	return e.keys.encrypt(index, fork, block)
}

func (e *defaultEncryption) Decrypt(index uint64, block []byte) error {
	return e.keys.decrypt(index, block)
}

// encrypt writes padding = fork XOR stream(blinding, index), then encrypts the
// rest under the nonce index || padding.
func (k *BlockKeys) encrypt(index, fork uint64, block []byte) error {
	if len(block) < EncryptionPadding {
		return ErrEncryption
	}
	var nonce [24]byte
	binary.LittleEndian.PutUint64(nonce[:], index)
	padding, text := block[:EncryptionPadding], block[EncryptionPadding:]
	binary.LittleEndian.PutUint64(padding, fork)
	xorStream(padding, &nonce, &k.Blinding)
	copy(nonce[8:], padding)
	xorStream(text, &nonce, &k.Block)
	return nil
}

func (k *BlockKeys) decrypt(index uint64, block []byte) error {
	if len(block) < EncryptionPadding {
		return ErrEncryption
	}
	xorBlock(index, block, &k.Block)
	return nil
}

// xorBlock encrypts or decrypts what follows the padding, which is a part of the
// nonce: u64 index, 8 bytes of padding, 8 zero bytes.
func xorBlock(index uint64, block []byte, key *[32]byte) {
	var nonce [24]byte
	binary.LittleEndian.PutUint64(nonce[:], index)
	copy(nonce[8:], block[:EncryptionPadding])
	xorStream(block[EncryptionPadding:], &nonce, key)
}

// xorStream applies the XSalsa20 key stream in place.
func xorStream(b []byte, nonce *[24]byte, key *[32]byte) {
	salsa20lanes.XORKeyStream(b, b, nonce, key)
}

// shortKeyedSum is BLAKE2b with 16 bytes of output in keyed mode.
func shortKeyedSum(key *[32]byte, message []byte) (out [16]byte) {
	h, err := blake2b.New(len(out), key[:])
	if err != nil {
		panic("hypercrypto: " + err.Error())
	}
	h.Write(message)
	h.Sum(out[:0])
	return out
}
