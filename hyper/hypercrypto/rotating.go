package hypercrypto

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// NewestKey asks a key source for the key that new blocks are encrypted with.
const NewestKey = -1

// maxCachedKeys bounds the keys that one scheme remembers. Key ids come from
// stored blocks, which a writer may fill with any number.
const maxCachedKeys = 1024

// Types of stored blocks, the first byte of the padding.
const (
	rotatingPlain     = 0
	rotatingEncrypted = 1
)

var nsRotatingHash = Namespace("hypercore-encryption", 0)

// RotatingOptions configures [RotatingEncryption].
type RotatingOptions struct {
	// Source returns the id and entropy of the key with an id, or of the newest
	// one for NewestKey. Keys other than the newest are remembered. It may be
	// called concurrently. Required.
	Source func(id int64) (keyID uint32, entropy [32]byte, err error)
	// Derive returns the keys that belong to an entropy: block encrypts, hash keys
	// the hash that goes into the padding. Default: block is the entropy itself.
	Derive func(entropy [32]byte) (block, hash [32]byte)
	// Compat tells which blocks use the default scheme with CompatKeys instead.
	// Nil: none.
	Compat func(index uint64) bool
	// CompatKeys are the keys for the blocks that Compat names.
	CompatKeys BlockKeys
}

// RotatingEncryption returns the scheme whose blocks name the key they are
// encrypted with, so that keys can change over the life of a core. A stored block
// is
//
//	1 byte type (0 plain, 1 encrypted), 3 bytes of keyed hash of the plaintext,
//	uint32 key id, then the plaintext XOR the key stream
//
// and the nonce is the index and these 8 bytes. The fork is not used.
func RotatingEncryption(opts RotatingOptions) BlockEncryption {
	if opts.Derive == nil {
		opts.Derive = deriveRotating
	}
	return &rotating{opts: opts, keys: make(map[uint32]rotatingKeys)}
}

func deriveRotating(entropy [32]byte) (block, hash [32]byte) {
	return entropy, Sum(nsRotatingHash[:], entropy[:])
}

type rotatingKeys struct {
	id          uint32
	block, hash [32]byte
}

type rotating struct {
	opts RotatingOptions // set once

	mu   sync.Mutex // guards keys; not held during callbacks
	keys map[uint32]rotatingKeys
}

func (*rotating) Padding() int { return EncryptionPadding }

func (e *rotating) Encrypt(index, fork uint64, block []byte) error {
	if e.compat(index) {
		return e.opts.CompatKeys.encrypt(index, fork, block)
	}
	return e.encryptWith(NewestKey, index, block)
}

// encryptWith encrypts with the key that has an id.
func (e *rotating) encryptWith(id int64, index uint64, block []byte) error {
	if len(block) < EncryptionPadding {
		return ErrEncryption
	}
	k, err := e.key(id)
	if err != nil {
		return fmt.Errorf("encrypt block %d: %w", index, err)
	}
	sum := shortKeyedSum(&k.hash, block[EncryptionPadding:])
	block[0] = rotatingEncrypted
	copy(block[1:4], sum[1:4])
	binary.LittleEndian.PutUint32(block[4:], k.id)
	xorBlock(index, block, &k.block)
	return nil
}

func (e *rotating) Decrypt(index uint64, block []byte) error {
	if e.compat(index) {
		return e.opts.CompatKeys.decrypt(index, block)
	}
	if len(block) < EncryptionPadding {
		return fmt.Errorf("%w %d: %d bytes are less than the padding", ErrEncryption, index, len(block))
	}
	switch block[0] {
	case rotatingPlain:
		return nil
	case rotatingEncrypted:
	default:
		return fmt.Errorf("%w %d: type %d is unknown", ErrEncryption, index, block[0])
	}
	id := binary.LittleEndian.Uint32(block[4:])
	k, err := e.key(int64(id))
	if err != nil {
		return fmt.Errorf("%w %d: key %d: %w", ErrEncryption, index, id, err)
	}
	xorBlock(index, block, &k.block)
	return nil
}

// key returns the key with an id, or the newest one, of which the source is asked
// every time.
func (e *rotating) key(id int64) (rotatingKeys, error) {
	if id != NewestKey {
		e.mu.Lock()
		k, ok := e.keys[uint32(id)]
		e.mu.Unlock()
		if ok {
			return k, nil
		}
	}
	return e.load(id)
}

func (e *rotating) compat(index uint64) bool {
	return e.opts.Compat != nil && e.opts.Compat(index)
}

// load asks the source and remembers its answer.
func (e *rotating) load(id int64) (rotatingKeys, error) {
	keyID, entropy, err := e.opts.Source(id)
	if err != nil {
		return rotatingKeys{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	k, ok := e.keys[keyID]
	if ok {
		return k, nil
	}
	k.id = keyID
	k.block, k.hash = e.opts.Derive(entropy)
	if len(e.keys) >= maxCachedKeys {
		clear(e.keys)
	}
	e.keys[keyID] = k
	return k, nil
}
