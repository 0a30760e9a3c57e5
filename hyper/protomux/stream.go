package protomux

import (
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	// Headroom is the number of spare bytes in front of the payload of a frame
	// given to [Stream.WriteFrames].
	Headroom = 64
	// Tailroom is the number of spare bytes behind it, counted in capacity.
	Tailroom = 16
	// MaxFrame is the largest payload of one frame in bytes.
	MaxFrame = 1<<24 - 1 - 17
	// MaxMessage is the largest body of one message in bytes: what surely fits
	// into a frame behind the longest channel number and type.
	MaxMessage = MaxFrame - 32
)

// Stream is the framed, message-preserving, authenticated connection below a
// [Mux]. One goroutine reads and another writes; Close may be called by any and
// makes both return.
//
// A Stream that also has a method Buffered() bool tells whether the next
// ReadFrame returns without waiting; see [ChannelOptions.OnBatchEnd].
type Stream interface {
	// IsInitiator tells whether this side began the handshake.
	IsInitiator() bool
	// HandshakeHash is equal on both sides and unique to the connection.
	HandshakeHash() [64]byte
	// RemotePublicKey is the proven key of the other side.
	RemotePublicKey() hypercrypto.PublicKey
	// ReadFrame returns the next frame. The slice is valid until the next call
	// and may be changed by the caller. The error is io.EOF when the other side
	// has ended the stream between two frames.
	ReadFrame() ([]byte, error)
	// WriteFrames sends frames in order, in as few writes as it can. Each has
	// Headroom spare bytes in front of the payload, which starts at
	// frame[Headroom], and cap(frame)-len(frame) >= Tailroom. The contents are
	// destroyed: a stream encrypts in place. The buffers are the caller's again
	// when the call returns.
	WriteFrames(frames [][]byte) error
	// Close ends the stream at once.
	Close() error
}
