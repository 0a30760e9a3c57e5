package secretstream

import (
	"errors"
	"fmt"
	"net"
)

const (
	// Headroom is the number of spare bytes that WriteFrames needs in front of
	// a message.
	Headroom = blockSize
	// Tailroom is the number of spare bytes behind it.
	Tailroom = macSize
	// MaxMessage is the largest message in bytes.
	MaxMessage = 1<<24 - 1 - overhead

	// writeChunk is how many bytes are encrypted before they are written: few
	// enough to be still in the cache then.
	writeChunk = 256 << 10
	// keepBuffer is the largest scratch buffer that is kept between writes.
	keepBuffer = 64 << 10
)

// ErrTooLarge means that a message exceeds MaxMessage. Nothing was sent and the
// connection goes on.
var ErrTooLarge = errors.New("secretstream: message is too large")

var errEnded = errors.New("secretstream: write after CloseWrite")

// BuffersWriter is implemented by streams that can send several buffers in one
// go. TCP and Unix sockets need not: they are known.
type BuffersWriter interface {
	// WriteBuffers writes all of b, in order.
	WriteBuffers(b [][]byte) error
}

// WriteFrames sends one message per frame, in order, with few system calls. The
// message is frame[Headroom:], and cap(frame)-len(frame) must be at least
// Tailroom. The contents are destroyed, the buffers are free again when the call
// returns. An empty message is legal; the other side will not see it.
func (c *Conn) WriteFrames(frames [][]byte) error {
	for _, f := range frames {
		if len(f) < Headroom || cap(f)-len(f) < Tailroom {
			panic("secretstream: frame without room for encryption")
		}
		if len(f)-Headroom > MaxMessage {
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(f)-Headroom)
		}
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.writeLocked(frames)
}

// Write sends p as one message.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) > MaxMessage {
		return 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(p))
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	size := Headroom + len(p) + Tailroom
	buf := c.single
	if cap(buf) < size {
		buf = make([]byte, size)
		if size <= keepBuffer {
			c.single = buf
		}
	}
	copy(buf[Headroom:size], p)
	if err := c.writeLocked([][]byte{buf[:Headroom+len(p)]}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeLocked encrypts and writes. wmu must be held.
func (c *Conn) writeLocked(frames [][]byte) error {
	if err := c.failed(); err != nil {
		return err
	}
	if c.ended {
		return errEnded
	}
	batch := c.batch[:0]
	size, total := 0, 0
	if len(c.prefix) > 0 {
		batch, size = append(batch, c.prefix), len(c.prefix)
		c.prefix = nil
	}
	for _, f := range frames {
		n := len(f) - Headroom
		unit := f[:len(f)+Tailroom]
		c.tx.seal(unit, 0)
		unit = unit[Headroom-1-lengthSize:]
		putLength(unit, n+overhead)
		batch, size, total = append(batch, unit), size+len(unit), total+len(unit)
		if size >= writeChunk {
			if err := c.send(batch, size); err != nil {
				return err
			}
			batch, size = batch[:0], 0
		}
	}
	if size > 0 {
		if err := c.send(batch, size); err != nil {
			return err
		}
	}
	c.traffic.sent(len(frames), total)
	if c.keepAlive != nil {
		c.keepAlive.Reset(c.opts.KeepAlive)
	}
	return nil
}

// send writes the buffers of batch, which hold size bytes. wmu must be held.
func (c *Conn) send(batch [][]byte, size int) error {
	err := c.gather(batch, size)
	clear(batch)
	c.batch = batch[:0]
	if err != nil {
		return c.fail(fmt.Errorf("secretstream: write: %w", err))
	}
	return nil
}

func (c *Conn) gather(batch [][]byte, size int) error {
	if step := step(c.opts.Outgoing); step > 0 {
		return c.trickle(batch, step)
	}
	if len(batch) == 1 {
		_, err := c.rwc.Write(batch[0])
		return err
	}
	switch w := c.rwc.(type) {
	case *net.TCPConn:
		c.batch = batch
		_, err := c.batch.WriteTo(w)
		return err
	case *net.UnixConn:
		c.batch = batch
		_, err := c.batch.WriteTo(w)
		return err
	case BuffersWriter:
		return w.WriteBuffers(batch)
	}
	joined := c.joined
	if cap(joined) < size {
		joined = make([]byte, 0, size)
	}
	joined = joined[:0]
	for _, b := range batch {
		joined = append(joined, b...)
	}
	if cap(joined) <= keepBuffer {
		c.joined = joined
	}
	_, err := c.rwc.Write(joined)
	return err
}

// trickle writes the buffers step by step, as fast as the limit allows.
func (c *Conn) trickle(batch [][]byte, step int) error {
	for _, b := range batch {
		for len(b) > 0 {
			n := min(len(b), step)
			c.opts.Outgoing.Wait(n, c.done)
			if err := c.failed(); err != nil {
				return err
			}
			if _, err := c.rwc.Write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
	}
	return nil
}

// flushPrefix sends handshake and header unless a message has taken them along.
// An error shows at the next read or write.
func (c *Conn) flushPrefix() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if len(c.prefix) > 0 {
		_ = c.writeLocked(nil)
	}
}

// Probe sends an empty message in the background: over a dead path it stays
// unanswered by the layer below, which ends the connection.
func (c *Conn) Probe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.wg.Go(c.writeEmpty)
	}
}

// sendKeepAlive sends an empty message after a time of silence.
func (c *Conn) sendKeepAlive() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.wg.Add(1)
	c.mu.Unlock()
	defer c.wg.Done()
	c.writeEmpty()
}

func (c *Conn) writeEmpty() {
	// A write under way is as good, and starts the timer again.
	if !c.wmu.TryLock() {
		return
	}
	defer c.wmu.Unlock()
	_ = c.writeLocked([][]byte{make([]byte, Headroom, Headroom+Tailroom)})
}
