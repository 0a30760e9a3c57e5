package secretstream

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
	//lint:ignore SA1019 the format pads in its own way, so its tags need the bare function
	"golang.org/x/crypto/poly1305"
)

const (
	keySize    = 32
	headerSize = 24
	blockSize  = 64 // the tag byte is encrypted as the head of a block of its own
	macSize    = 16

	// overhead is what encryption adds to a message: tag byte and MAC.
	overhead = 1 + macSize

	tagRekey = 2 // bit: derive a new key behind this message
)

// sealerIsAssembly tells that the AEAD is assembly while the bare ChaCha20 is
// not. Elsewhere the two parts run one after the other.
const sealerIsAssembly = runtime.GOARCH == "amd64"

// cipherState is one direction of a libsodium secretstream
// (xchacha20poly1305).
//
// A message of n bytes is encrypted exactly as ChaCha20-Poly1305 (RFC 8439)
// encrypts a 64-byte block, which holds the tag byte and zeros, followed by the
// message, except that only the first byte of the encrypted block travels, and
// that Poly1305 pads the text with n%16 zeros, not with 16-n%16. Hence messages
// are sealed in place, with room for the block in front, and where n%16 is
// neither 0 nor 8 the MAC is computed apart.
type cipherState struct {
	key     [keySize]byte
	nonce   [12]byte // counter u32, then 8 bytes that every MAC changes
	aead    cipher.AEAD
	polyKey [32]byte
	stream  [2 * blockSize]byte // scratch: key stream
}

// init sets the state from a key and the 24 bytes that opened the stream.
func (s *cipherState) init(key *[keySize]byte, header []byte) {
	k, err := chacha20.HChaCha20(key[:], header[:16])
	if err != nil {
		panic("secretstream: " + err.Error())
	}
	copy(s.key[:], k)
	s.reset(header[16:headerSize])
}

// reset starts the counter for s.key.
func (s *cipherState) reset(inonce []byte) {
	binary.LittleEndian.PutUint32(s.nonce[:4], 1)
	copy(s.nonce[4:], inonce)
	aead, err := chacha20poly1305.New(s.key[:])
	if err != nil {
		panic("secretstream: " + err.Error())
	}
	s.aead = aead
}

// seal encrypts a message in place. buf is 64 bytes of any content, the message,
// and 16 bytes of any content. Afterwards buf[63:] is the encrypted message: tag
// byte, text, MAC.
func (s *cipherState) seal(buf []byte, tag byte) {
	text := buf[:len(buf)-macSize]
	mac := buf[len(buf)-macSize:]
	clear(buf[:blockSize])
	buf[0] = tag
	if sealerIsAssembly {
		s.aead.Seal(buf[:0], s.nonce[:], text, nil)
		if len(text)%8 != 0 {
			s.derive(s.stream[:32])
			s.mac(mac[:0], text)
		}
	} else {
		s.sealInParts(buf)
	}
	buf[blockSize-1] = buf[0]
	s.advance(mac, tag)
}

// sealInParts encrypts like the AEAD but takes the MAC in the format's own way.
func (s *cipherState) sealInParts(buf []byte) {
	text := buf[:len(buf)-macSize]
	s.derive(s.stream[:32])
	s.xor(text, 1)
	s.mac(text[len(text):], text)
}

// open decrypts in place what seal leaves: buf[63:] is the encrypted message,
// the 63 bytes in front are overwritten. The message is buf[64:len(buf)-16]. If
// ok is false the bytes are not authentic, buf is undefined and the state is
// unchanged.
func (s *cipherState) open(buf []byte) (tag byte, ok bool) {
	text := buf[:len(buf)-macSize]
	var mac [macSize]byte
	copy(mac[:], buf[len(text):])
	first := buf[blockSize-1]

	s.derive(s.stream[:])
	block := s.stream[blockSize:]
	tag = first ^ block[0]
	copy(buf, block)
	buf[0] = first
	switch {
	case sealerIsAssembly && len(text)%8 == 0:
		if _, err := s.aead.Open(buf[:0], s.nonce[:], buf, nil); err != nil {
			return 0, false
		}
	default:
		var want [macSize]byte
		s.mac(want[:0], text)
		if subtle.ConstantTimeCompare(want[:], mac[:]) != 1 {
			return 0, false
		}
		if sealerIsAssembly {
			// Encrypting once more decrypts; the tag of that is of no use.
			s.aead.Seal(buf[:0], s.nonce[:], text, nil)
		} else {
			s.xor(text[blockSize:], 2)
		}
	}
	s.advance(mac[:], tag)
	return tag, true
}

// derive fills stream with the key stream from its beginning and keeps the MAC
// key, which is its first 32 bytes.
func (s *cipherState) derive(stream []byte) {
	clear(stream)
	s.xor(stream, 0)
	copy(s.polyKey[:], stream)
}

// xor applies the key stream from the given block on.
func (s *cipherState) xor(b []byte, block uint32) {
	c, err := chacha20.NewUnauthenticatedCipher(s.key[:], s.nonce[:])
	if err != nil {
		panic("secretstream: " + err.Error())
	}
	c.SetCounter(block)
	c.XORKeyStream(b, b)
}

// mac appends the MAC over text, the encrypted block and message, to dst.
func (s *cipherState) mac(dst, text []byte) {
	p := poly1305.New(&s.polyKey)
	p.Write(text)
	var tail [macSize + 16]byte
	pad := len(text) % 16
	binary.LittleEndian.PutUint64(tail[pad+8:], uint64(len(text)))
	p.Write(tail[:pad+16])
	p.Sum(dst)
}

// advance changes the state for the next message.
func (s *cipherState) advance(mac []byte, tag byte) {
	for i := range 8 {
		s.nonce[4+i] ^= mac[i]
	}
	counter := binary.LittleEndian.Uint32(s.nonce[:4]) + 1
	binary.LittleEndian.PutUint32(s.nonce[:4], counter)
	if tag&tagRekey != 0 || counter == 0 {
		s.rekey()
	}
}

func (s *cipherState) rekey() {
	var x [keySize + 8]byte
	copy(x[:], s.key[:])
	copy(x[keySize:], s.nonce[4:])
	s.xor(x[:], 0)
	copy(s.key[:], x[:])
	s.reset(x[keySize:])
}

// String keeps the key out of logs.
func (s *cipherState) String() string {
	return fmt.Sprintf("secretstream at message %d", binary.LittleEndian.Uint32(s.nonce[:4]))
}
