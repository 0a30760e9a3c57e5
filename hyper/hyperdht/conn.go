package hyperdht

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/udx"
)

// Path is how packets get to the other side.
type Path int

// Kinds of paths.
const (
	// PathDirect: at least one side is reachable, or its address was given.
	PathDirect Path = iota
	// PathLAN: both are on the same network.
	PathLAN
	// PathPunched: through two NATs.
	PathPunched
	// PathRelayed: a relay passes the encrypted packets on.
	PathRelayed
)

// String returns a word.
func (p Path) String() string { return [...]string{"direct", "lan", "punched", "relayed"}[p] }

// Conn is an encrypted connection with message boundaries, see
// [secretstream.Conn]: Write sends one message, Read never crosses the end of
// one. Beside the stream it carries unordered messages.
type Conn struct {
	*secretstream.Conn
	link *link
}

// Path returns how packets get to the other side now. A relayed connection may
// become direct.
func (c *Conn) Path() Path {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.path
}

// RemoteAddrPort returns where packets are sent now: of the relay while the
// connection is relayed.
func (c *Conn) RemoteAddrPort() netip.AddrPort {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.remote
}

// PathChanged is closed when the path changes; call it again for the next change.
func (c *Conn) PathChanged() <-chan struct{} {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.pathChanged
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.link.ctx.Done() }

// MaxUnordered is the size in bytes of the largest unordered message that passes
// every path.
const MaxUnordered = 1128

// SendUnordered sends one message beside the stream, at once. It may be lost,
// doubled or overtaken. It is safe for concurrent use.
func (c *Conn) SendUnordered(message []byte) error {
	if len(message) > MaxUnordered {
		return fmt.Errorf("%w: unordered message of %d bytes", ErrTooLarge, len(message))
	}
	l := c.link
	l.umu.Lock()
	defer l.umu.Unlock()
	packet, err := l.unordered.Seal(l.packet[:0], message)
	if err != nil {
		c.Close()
		return err
	}
	l.packet = packet
	return l.stream.SendMessage(packet)
}

// ReceiveUnordered returns the next unordered message. If many come that nobody
// takes the later ones are dropped.
func (c *Conn) ReceiveUnordered(ctx context.Context) ([]byte, error) {
	select {
	case m := <-c.link.messages:
		return m, nil
	default:
	}
	select {
	case m := <-c.link.messages:
		return m, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.link.ctx.Done():
		return nil, ErrClosed
	}
}

// bytestream is the stream below the encryption. What prefetch has read is read
// again.
type bytestream struct {
	*udx.Stream
	link *link
	head []byte
}

// Read reads the stream.
func (b *bytestream) Read(p []byte) (int, error) {
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	return b.Stream.Read(p)
}

// Close ends the stream and what belongs to it.
func (b *bytestream) Close() error {
	err := b.Stream.Close()
	b.link.end()
	return err
}
