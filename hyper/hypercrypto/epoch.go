package hypercrypto

import (
	"encoding/binary"
	"fmt"
)

// maxEpochFork bounds the forks under which epoch 0 encrypts: a block that says
// otherwise is of a later epoch.
const maxEpochFork = 1 << 16

var (
	nsEpochBlock = Namespace("cloudpal/key-epoch", 0)
	nsEpochHash  = Namespace("cloudpal/key-epoch", 1)
)

// KeyRing holds the keys of epochs. Epoch 0 is the time before the first key, in
// which a core is encrypted in the default scheme; all others have any other
// number and a random key. It is used concurrently, and often.
type KeyRing interface {
	// Key returns the key of an epoch, or false if it is not known. Once known it
	// stays so, also after a restart, and never is another one.
	Key(epoch uint32) (key EncryptionKey, ok bool)
}

// UnknownKeyError is the error of a block of an epoch whose key is not in the
// ring. It wraps [ErrEncryption].
type UnknownKeyError struct{ Epoch uint32 }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("hypercrypto: the key of epoch %d is not known", e.Epoch)
}

func (e *UnknownKeyError) Unwrap() error { return ErrEncryption }

// EpochEncryption returns the scheme of what is encrypted in several epochs. A
// block of epoch 0 is stored in the default scheme with the key zero; fork must be
// less than 65536 there. A block of epoch n is stored in the rotating scheme with
// the key id n and
//
//	block key = H(NS("cloudpal/key-epoch", 0) || zero || key of the epoch)
//	hash key  = H(NS("cloudpal/key-epoch", 1) || block key)
//
// Which one it is follows from the padding: in the default scheme it says the
// fork, which a block of a later epoch seems to have with a chance of 2^-48.
// newest returns the epoch of new blocks.
//
// Who knows zero and not the key of the epoch can read nothing of it.
func EpochEncryption(zero [32]byte, ring KeyRing, newest func() uint32) BlockEncryption {
	return &epochs{
		zero: NewBlockKeys(zero), newest: newest,
		later: RotatingEncryption(RotatingOptions{
			Source: func(id int64) (uint32, [32]byte, error) {
				key, ok := ring.Key(uint32(id))
				if !ok || id == 0 {
					return 0, key, &UnknownKeyError{uint32(id)}
				}
				return uint32(id), key, nil
			},
			Derive: func(key [32]byte) (block, hash [32]byte) {
				block = Sum(nsEpochBlock[:], zero[:], key[:])
				return block, Sum(nsEpochHash[:], block[:])
			},
		}).(*rotating),
	}
}

// RingEncryption returns the scheme of a core in several epochs; key is what it is
// encrypted with in epoch 0, and part of the keys of all others. See
// [EpochEncryption].
func RingEncryption(key EncryptionKey, core Key, ring KeyRing, newest func() uint32) BlockEncryption {
	return EpochEncryption(DeriveBlockKey(key, core, false), ring, newest)
}

type epochs struct {
	zero   BlockKeys
	newest func() uint32
	later  *rotating
}

func (*epochs) Padding() int { return EncryptionPadding }

func (e *epochs) Encrypt(index, fork uint64, block []byte) error {
	if n := e.newest(); n > 0 {
		return e.later.encryptWith(int64(n), index, block)
	}
	if fork >= maxEpochFork {
		return fmt.Errorf("%w: fork %d", ErrEncryption, fork)
	}
	return e.zero.encrypt(index, fork, block)
}

func (e *epochs) Decrypt(index uint64, block []byte) error {
	switch n, err := e.zero.epoch(index, block); {
	case err != nil:
		return err
	case n == 0:
		return e.zero.decrypt(index, block)
	}
	return e.later.Decrypt(index, block)
}

// BlockEpoch returns the epoch of a stored block in the scheme of
// [EpochEncryption] with the key zero, which need not be readable.
func BlockEpoch(zero [32]byte, index uint64, stored []byte) (uint32, error) {
	k := NewBlockKeys(zero)
	return k.epoch(index, stored)
}

func (k *BlockKeys) epoch(index uint64, stored []byte) (uint32, error) {
	if len(stored) < EncryptionPadding {
		return 0, fmt.Errorf("%w %d: %d bytes are less than the padding", ErrEncryption, index, len(stored))
	}
	switch {
	case k.fork(index, stored) < maxEpochFork:
		return 0, nil
	case stored[0] != rotatingEncrypted:
		return 0, fmt.Errorf("%w %d: type %d is of no epoch", ErrEncryption, index, stored[0])
	}
	n := binary.LittleEndian.Uint32(stored[4:])
	if n == 0 {
		return 0, fmt.Errorf("%w %d: epoch 0 in another scheme than its own", ErrEncryption, index)
	}
	return n, nil
}

// fork returns the fork that the padding of a block in the default scheme says.
func (k *BlockKeys) fork(index uint64, block []byte) uint64 {
	var nonce [24]byte
	var padding [EncryptionPadding]byte
	binary.LittleEndian.PutUint64(nonce[:], index)
	copy(padding[:], block)
	xorStream(padding[:], &nonce, &k.Blinding)
	return binary.LittleEndian.Uint64(padding[:])
}
