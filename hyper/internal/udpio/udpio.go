package udpio

import (
	"net"
	"net/netip"
)

const (
	// MaxDatagram is the largest datagram in bytes that is received whole. What
	// a longer one has beyond is cut off.
	MaxDatagram = 2048

	readBuffer  = 4 << 20
	writeBuffer = 4 << 20
)

// Datagram is one UDP datagram.
type Datagram struct {
	Data []byte
	// Addr is the source of a received datagram and the destination of one to
	// send.
	Addr netip.AddrPort
	// TTL limits the number of hops of a datagram to send; 0 means the system's
	// default.
	TTL uint8
	// Fragment lets the network split a datagram to send that exceeds the size
	// of the path.
	Fragment bool
}

// Conn is a UDP socket, real or simulated.
type Conn interface {
	// ReadBatch waits for datagrams and returns those at hand. The result is
	// valid until the next call and may be changed. One goroutine may read.
	// After Close the error is net.ErrClosed.
	ReadBatch() ([]Datagram, error)
	// WriteBatch sends the datagrams in order; what cannot be sent is lost.
	// Runs of equal length to one address are cheapest. The data is not kept.
	// It may be called concurrently. The error is net.ErrClosed after Close.
	WriteBatch(ds []Datagram) error
	// LocalAddr is the address the socket is bound to.
	LocalAddr() netip.AddrPort
	// Close makes waiting calls return.
	Close() error
}

// Listen opens a socket on an IPv4 address. A port of 0 is chosen by the system.
func Listen(local netip.AddrPort) (Conn, error) {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(readBuffer)
	_ = c.SetWriteBuffer(writeBuffer)
	conn, err := newConn(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	return conn, nil
}

func localAddr(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
