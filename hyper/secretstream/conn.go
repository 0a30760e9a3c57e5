package secretstream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Errors of a connection. After any of them, and after every error of the
// stream below except a passed read deadline, the connection is closed.
var (
	// ErrClosed: Close was called. It matches net.ErrClosed.
	ErrClosed = fmt.Errorf("secretstream: %w", net.ErrClosed)
	// ErrCorrupt: the other side sent what it must not, or somebody on the way
	// changed bytes.
	ErrCorrupt = errors.New("secretstream: corrupt stream")
	// ErrTimeout: nothing was received for Options.IdleTimeout. It matches
	// os.ErrDeadlineExceeded.
	ErrTimeout = fmt.Errorf("secretstream: idle: %w", os.ErrDeadlineExceeded)
)

// Conn is an encrypted connection with message boundaries. It is a net.Conn
// whose Write sends one message and whose Read never crosses the end of one.
//
// One goroutine may read while others write; writes of several goroutines do
// not mix. Closing is possible at any time.
type Conn struct {
	rwc     io.ReadWriteCloser // set once
	opts    Options            // set once
	session Session            // set before the connection is handed out

	// Owned by the reading goroutine.
	rx         cipherState
	buf        []byte // buf[r:w] is received and not yet used
	r, w       int
	quiet      int  // fills since buf was last needed at its size
	headerRead bool // the unit with the other side's id and header is behind us
	rest       []byte

	wmu    sync.Mutex // guards what follows; held while writing
	tx     cipherState
	prefix []byte // units that go in front of the next write
	ended  bool   // CloseWrite was called
	batch  net.Buffers
	joined []byte // for streams that cannot gather
	single []byte // for Write

	cause atomic.Pointer[error] // why the connection ended; set once
	done  chan struct{}         // closed after cause is set

	traffic traffic

	keepAlive *time.Timer // set once, like session
	idle      *time.Timer // set once, like session
	wg        sync.WaitGroup

	mu       sync.Mutex // guards what follows
	closed   bool
	closeErr error
}

var _ net.Conn = (*Conn)(nil)

// New returns a connection over rwc for a handshake that was made elsewhere. It
// owns rwc from now on; if it fails rwc is closed. KeyPair, RemotePublicKey and
// Verify of opts are not used.
func New(rwc io.ReadWriteCloser, session Session, opts *Options) (*Conn, error) {
	c := newConn(rwc, opts.withDefaults())
	if err := c.begin(session, nil); err != nil {
		rwc.Close()
		return nil, err
	}
	return c, nil
}

func newConn(rwc io.ReadWriteCloser, opts Options) *Conn {
	return &Conn{rwc: rwc, opts: opts, buf: make([]byte, firstBuffer), r: headroom, w: headroom, done: make(chan struct{})}
}

// begin makes c ready for messages. last is a unit that goes before the header.
func (c *Conn) begin(session Session, last []byte) error {
	c.session = session
	var header [headerSize]byte
	if _, err := io.ReadFull(c.opts.random, header[:]); err != nil {
		return fmt.Errorf("secretstream: make header: %w", err)
	}
	c.tx.init(&session.TX, header[:])
	id := streamID(&session.HandshakeHash, session.Initiator)
	c.prefix = append(last, headerUnitSize, 0, 0)
	c.prefix = append(c.prefix, id[:]...)
	c.prefix = append(c.prefix, header[:]...)

	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.opts.KeepAlive; d > 0 {
		c.keepAlive = time.AfterFunc(d, c.sendKeepAlive)
	}
	if d := c.opts.IdleTimeout; d > 0 {
		c.idle = time.AfterFunc(d, func() { c.fail(ErrTimeout) })
	}
	// The other side must not wait for our first message to see the header, and
	// this goroutine must not wait for a stream that has no buffer of its own.
	c.wg.Go(c.flushPrefix)
	return nil
}

// IsInitiator tells whether this side began the handshake.
func (c *Conn) IsInitiator() bool { return c.session.Initiator }

// HandshakeHash is equal on both sides and unique to the connection.
func (c *Conn) HandshakeHash() [64]byte { return c.session.HandshakeHash }

// PublicKey is this side's identity.
func (c *Conn) PublicKey() hypercrypto.PublicKey { return c.session.PublicKey }

// RemotePublicKey is the proven identity of the other side.
func (c *Conn) RemotePublicKey() hypercrypto.PublicKey { return c.session.RemotePublicKey }

// fail ends the connection with err unless it has ended before, and returns the
// reason why it ended.
func (c *Conn) fail(err error) error {
	if c.cause.CompareAndSwap(nil, &err) {
		c.mu.Lock()
		c.closeErr = c.rwc.Close()
		c.mu.Unlock()
		close(c.done)
	}
	return *c.cause.Load()
}

// Done is closed once the connection has ended, for whatever reason except that
// the other side has ended its half: a reader learns that.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err tells why the connection has ended, or nil.
func (c *Conn) Err() error { return c.failed() }

func (c *Conn) failed() error {
	if p := c.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// Close ends the connection at once, whatever others are doing with it. It is
// safe to call it again. To be sure that the other side gets what was written,
// call CloseWrite and read to the end first.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	c.mu.Lock()
	c.closed = true
	if c.keepAlive != nil {
		c.keepAlive.Stop()
	}
	if c.idle != nil {
		c.idle.Stop()
	}
	err := c.closeErr
	c.mu.Unlock()
	c.wg.Wait()
	return err
}

// CloseWrite tells the other side that no more messages follow, if the stream
// below can do that; reading goes on. Otherwise it returns
// errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	h, ok := c.rwc.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	c.flushPrefix()
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.failed(); err != nil {
		return err
	}
	c.ended = true
	if c.keepAlive != nil {
		c.keepAlive.Stop()
	}
	return h.CloseWrite()
}

// LocalAddr returns the address of the stream below, or nil if it has none.
func (c *Conn) LocalAddr() net.Addr {
	if a, ok := c.rwc.(interface{ LocalAddr() net.Addr }); ok {
		return a.LocalAddr()
	}
	return nil
}

// RemoteAddr returns the address of the stream below, or nil if it has none.
func (c *Conn) RemoteAddr() net.Addr {
	if a, ok := c.rwc.(interface{ RemoteAddr() net.Addr }); ok {
		return a.RemoteAddr()
	}
	return nil
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if d, ok := c.rwc.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return os.ErrNoDeadline
}

// SetReadDeadline sets the deadline of reads. A read that misses it loses
// nothing and may be repeated.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if d, ok := c.rwc.(interface{ SetReadDeadline(time.Time) error }); ok {
		return d.SetReadDeadline(t)
	}
	return os.ErrNoDeadline
}

// SetWriteDeadline sets the deadline of writes. A write that misses it ends the
// connection, because part of a message may have been sent.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if d, ok := c.rwc.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return d.SetWriteDeadline(t)
	}
	return os.ErrNoDeadline
}
