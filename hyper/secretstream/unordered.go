package secretstream

import (
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/nacl/secretbox"
)

// UnorderedOverhead is the number of bytes that [Unordered.Seal] adds.
const UnorderedOverhead = counterSize + secretbox.Overhead

const counterSize = 8

// ErrExhausted means that all counters of an [Unordered] are used up. The
// connection must be ended.
var ErrExhausted = errors.New("secretstream: no unordered message left")

// Unordered encrypts and decrypts single packets that travel beside the stream
// and may be lost, doubled or out of order. There is no protection against
// replay: what must not happen twice carries its own number.
//
// Seal is not safe for concurrent use; Open is.
type Unordered struct {
	sendKey, receiveKey [32]byte
	counter, start      [counterSize]byte
}

// NewUnordered returns the packet cipher of a connection. initiator tells
// whether this side began the handshake.
func NewUnordered(handshakeHash *[64]byte, initiator bool) *Unordered {
	u := &Unordered{
		sendKey:    unorderedKey(handshakeHash, initiator),
		receiveKey: unorderedKey(handshakeHash, !initiator),
	}
	// The counter starts anywhere so that it tells nothing.
	rand.Read(u.start[:])
	u.counter = u.start
	return u
}

// Seal appends the packet that carries plain to dst. plain and dst must not
// overlap.
func (u *Unordered) Seal(dst, plain []byte) ([]byte, error) {
	next := u.counter
	for i := range next {
		next[i]++
		if next[i] != 0 {
			break
		}
	}
	if next == u.start {
		return nil, ErrExhausted
	}
	u.counter = next
	var nonce [24]byte
	copy(nonce[:], next[:])
	return secretbox.Seal(append(dst, next[:]...), plain, &nonce, &u.sendKey), nil
}

// Open appends the content of a received packet to dst. ok is false if the
// packet is not authentic; it is to be dropped. packet and dst must not overlap.
func (u *Unordered) Open(dst, packet []byte) (plain []byte, ok bool) {
	if len(packet) < UnorderedOverhead {
		return nil, false
	}
	var nonce [24]byte
	copy(nonce[:], packet[:counterSize])
	return secretbox.Open(dst, packet[counterSize:], &nonce, &u.receiveKey)
}
