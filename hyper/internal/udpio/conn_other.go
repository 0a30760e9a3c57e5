//go:build !linux

package udpio

import (
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
)

// conn makes one system call per datagram.
type conn struct {
	c    *net.UDPConn
	buf  [MaxDatagram]byte
	read [1]Datagram

	ttlMu sync.RWMutex // held for writing while the socket's TTL is not the default
	opts  *ipv4.Conn
}

func newConn(c *net.UDPConn) (Conn, error) {
	setDontFragment(c)
	return &conn{c: c, opts: ipv4.NewConn(c)}, nil
}

func (c *conn) LocalAddr() netip.AddrPort { return localAddr(c.c) }

func (c *conn) Close() error { return c.c.Close() }

func (c *conn) ReadBatch() ([]Datagram, error) {
	for {
		n, from, err := c.c.ReadFromUDPAddrPort(c.buf[:])
		if err != nil && n == 0 {
			if isClosed(err) {
				return nil, net.ErrClosed
			}
			continue // an answer to something sent earlier
		}
		c.read[0] = Datagram{Data: c.buf[:n], Addr: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
		return c.read[:], nil
	}
}

func (c *conn) WriteBatch(ds []Datagram) error {
	for i := range ds {
		if err := c.write(&ds[i]); isClosed(err) {
			return net.ErrClosed
		}
	}
	return nil
}

func (c *conn) write(d *Datagram) error {
	if d.TTL == 0 {
		c.ttlMu.RLock()
		defer c.ttlMu.RUnlock()
	} else {
		c.ttlMu.Lock()
		defer c.ttlMu.Unlock()
		if usual, err := c.opts.TTL(); err == nil && c.opts.SetTTL(int(d.TTL)) == nil {
			defer c.opts.SetTTL(usual)
		}
	}
	_, err := c.c.WriteToUDPAddrPort(d.Data, d.Addr)
	return err
}
