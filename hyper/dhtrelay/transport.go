package dhtrelay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

const (
	readBuffer = 16 << 10 // what an idle client costs
	keptBuffer = 256 << 10

	// messageTimeout is the time that one message may take to arrive.
	messageTimeout = 5 * time.Minute
	// slowestBytes is added to the time for a write per StallTimeout.
	slowestBytes = 256 << 10
)

var errSlow = errors.New("dhtrelay: message takes too long")

// transport is a WebSocket as the mux sees it: a binary message is a frame.
// Nobody is authenticated on this layer, and TLS encrypts.
type transport struct {
	conn  *websocket.Conn
	stall time.Duration
	limit int
	pace  func() error    // waits until more may be read
	hold  func(int) error // accounts for bytes of read buffers

	heard  atomic.Int64                // when bytes last came, Unix ns
	reason atomic.Pointer[closeReason] // set once, before Close

	// Owned by the reading goroutine.
	buf   []byte
	timer *time.Timer
}

// closeReason is what the client is told at the end.
type closeReason struct {
	status websocket.StatusCode
	err    error
}

var _ protomux.Stream = (*transport)(nil)

func (t *transport) hear() { t.heard.Store(time.Now().UnixNano()) }

// silence is the time since bytes came.
func (t *transport) silence() time.Duration {
	return time.Duration(time.Now().UnixNano() - t.heard.Load())
}

func (t *transport) IsInitiator() bool                      { return false }
func (t *transport) HandshakeHash() (h [64]byte)            { return h }
func (t *transport) RemotePublicKey() hypercrypto.PublicKey { return hypercrypto.PublicKey{} }

// ReadFrame returns the next message.
func (t *transport) ReadFrame() ([]byte, error) {
	if cap(t.buf) == 0 || cap(t.buf) > keptBuffer {
		if err := t.replace(readBuffer); err != nil {
			return nil, err
		}
	}
	if err := t.pace(); err != nil {
		return nil, err
	}
	// Close ends the wait; a context would cut off the close frame.
	typ, r, err := t.conn.Reader(context.Background())
	if err != nil {
		return nil, readError(err)
	}
	t.hear()
	if typ != websocket.MessageBinary {
		return nil, fmt.Errorf("%w: text", errMessage)
	}
	t.timer.Reset(messageTimeout)
	defer t.timer.Stop()
	b := t.buf[:0]
	for {
		if len(b) == cap(b) {
			if err := t.replace(min(2*cap(b), t.limit+1)); err != nil {
				return nil, err
			}
			b = append(t.buf, b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		t.hear()
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, readError(err)
		}
	}
}

// replace makes an empty buffer of the given size the buffer.
func (t *transport) replace(size int) error {
	old := cap(t.buf)
	t.buf = make([]byte, 0, size)
	return t.hold(size - old)
}

// release gives back what hold was told of. Nobody reads any more.
func (t *transport) release() {
	_ = t.hold(-cap(t.buf))
	t.buf = nil
}

func readError(err error) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return io.EOF
	}
	return fmt.Errorf("dhtrelay: read: %w", err)
}

// WriteFrames sends each frame as a message. A client that takes too long to
// read is given up.
func (t *transport) WriteFrames(frames [][]byte) error {
	for _, f := range frames {
		patience := t.stall * time.Duration(1+len(f)/slowestBytes)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := t.conn.Write(ctx, websocket.MessageBinary, f[protomux.Headroom:])
		cancel()
		if err != nil {
			return fmt.Errorf("dhtrelay: write: %w", err)
		}
	}
	return nil
}

// Close tells the client why, if it listens, and ends the connection.
func (t *transport) Close() error {
	r := t.reason.Load()
	if r == nil {
		r = &closeReason{websocket.StatusPolicyViolation, errMessage}
	}
	return t.conn.Close(r.status, r.err.Error())
}
