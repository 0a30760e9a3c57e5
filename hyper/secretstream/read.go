package secretstream

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	lengthSize     = 3
	headerUnitSize = 32 + headerSize

	// headroom is kept free at the start of the buffer, because decryption
	// overwrites 60 bytes in front of a unit.
	headroom = blockSize

	// The buffer starts small, as most connections say little, and doubles
	// whenever a read fills it, up to bigBuffer. It exceeds that only for a unit
	// that does not fit, step by step as the bytes of that unit arrive.
	firstBuffer = 8 << 10
	bigBuffer   = 512 << 10

	// quietFills is the number of fills without need after which a buffer above
	// bigBuffer is given back.
	quietFills = 64

	// emptyReads is the number of reads without bytes and without error after
	// which a stream is considered broken.
	emptyReads = 100
)

func putLength(b []byte, n int) { b[0], b[1], b[2] = byte(n), byte(n>>8), byte(n>>16) }

// unit looks at the unit that begins at buf[r]: n is the size of its body, -1 if
// not even the length is there, and whole tells whether the body is there.
func (c *Conn) unit() (n int, whole bool) { return unitAt(c.buf[c.r:c.w]) }

func unitAt(b []byte) (n int, whole bool) {
	if len(b) < lengthSize {
		return -1, false
	}
	n = int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	return n, len(b) >= lengthSize+n
}

// ReadFrame returns the next message that is not empty. The slice is valid until
// the next call of ReadFrame or Read and may be changed. The error is io.EOF
// when the other side has ended the stream behind a whole message.
func (c *Conn) ReadFrame() ([]byte, error) {
	for {
		n, whole := c.unit()
		if n >= 0 {
			if err := c.checkLength(n); err != nil {
				return nil, c.fail(err)
			}
		}
		if whole {
			msg, err := c.take(n)
			if err != nil {
				return nil, c.fail(err)
			}
			if len(msg) > 0 {
				return msg, nil
			}
			continue
		}
		if err := c.fill(); err != nil {
			return nil, c.readError(err)
		}
	}
}

func (c *Conn) checkLength(n int) error {
	if !c.headerRead {
		if n != headerUnitSize {
			return fmt.Errorf("%w: header of %d bytes", ErrCorrupt, n)
		}
	} else if n < overhead {
		return fmt.Errorf("%w: message of %d bytes", ErrCorrupt, n)
	}
	return nil
}

// take uses up the unit at buf[r], whose body has n bytes, and returns its
// message, which is empty for the header.
func (c *Conn) take(n int) ([]byte, error) {
	start := c.r + lengthSize
	end := start + n
	c.r = end
	if !c.headerRead {
		body := c.buf[start:end]
		id := streamID(&c.session.HandshakeHash, !c.session.Initiator)
		if subtle.ConstantTimeCompare(id[:], body[:len(id)]) != 1 {
			return nil, fmt.Errorf("%w: header of another stream", ErrCorrupt)
		}
		c.rx.init(&c.session.RX, body[len(id):])
		c.headerRead = true
		return nil, nil
	}
	// The first byte of the body is the last of the block in front of the text.
	if _, ok := c.rx.open(c.buf[start+1-blockSize : end]); !ok {
		return nil, fmt.Errorf("%w: message is not authentic", ErrCorrupt)
	}
	c.traffic.received(n)
	return c.buf[start+1 : end-macSize : end-macSize], nil
}

// Buffered tells whether a message is at hand, so that the next ReadFrame will
// not wait.
func (c *Conn) Buffered() bool {
	b := c.buf[c.r:c.w]
	for header := !c.headerRead; ; header = false {
		n, whole := unitAt(b)
		if !whole {
			return false
		}
		// What is neither a header nor an empty message is a message or an error.
		if header && n != headerUnitSize || !header && n != overhead {
			return true
		}
		b = b[lengthSize+n:]
	}
}

// fill reads more bytes behind buf[w]; at least one if the error is nil. What
// ReadFrame returned before is invalid afterwards.
func (c *Conn) fill() error {
	c.makeRoom()
	free := c.buf[c.w:]
	step := step(c.opts.Incoming)
	if step > 0 {
		free = free[:min(step, len(free))]
	}
	for range emptyReads {
		n, err := c.rwc.Read(free)
		c.w += n
		if n > 0 {
			if step > 0 {
				// What comes next waits in the stream below, and then at the sender.
				c.opts.Incoming.Wait(n, c.done)
			}
			if c.idle != nil {
				c.idle.Reset(c.opts.IdleTimeout)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom leaves free space behind buf[w].
func (c *Conn) makeRoom() {
	have := c.w - c.r
	need := lengthSize
	if n, _ := c.unit(); n >= 0 {
		need += n
	}
	full := c.w == len(c.buf)
	size := len(c.buf)
	switch {
	case full && headroom+have == size:
		// The unit that began needs more room.
		size = min(2*size, max(headroom+need, bigBuffer))
	case full && size < bigBuffer:
		size *= 2 // the peer sends faster than we read
	case size > bigBuffer && headroom+need <= bigBuffer && headroom+have < bigBuffer:
		if c.quiet++; c.quiet > quietFills {
			size, c.quiet = bigBuffer, 0
		}
	default:
		c.quiet = 0
	}
	if size != len(c.buf) {
		buf := make([]byte, size)
		copy(buf[headroom:], c.buf[c.r:c.w])
		c.buf = buf
	} else if c.r != headroom && (have == 0 || full || c.r+need > size) {
		copy(c.buf[headroom:], c.buf[c.r:c.w])
	} else {
		return
	}
	c.r, c.w = headroom, headroom+have
}

// readError turns an error of the stream below into the one to return.
func (c *Conn) readError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && c.failed() == nil:
		return err
	case err == io.EOF && c.r == c.w:
		// Writing may go on.
		if cause := c.failed(); cause != nil {
			return cause
		}
		return io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return c.fail(fmt.Errorf("secretstream: read: %w", err))
}

// Read copies the next message, or what an earlier Read left of one, to p. It
// never returns bytes of two messages.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 {
		msg, err := c.ReadFrame()
		if err != nil {
			return 0, err
		}
		c.rest = msg
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
