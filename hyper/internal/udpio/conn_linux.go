package udpio

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

type conn struct {
	c      *net.UDPConn    // set once
	raw    syscall.RawConn // set once
	local  netip.AddrPort  // set once
	reader reader
	writer writer
}

func newConn(c *net.UDPConn) (Conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	u := &conn{c: c, raw: raw, local: localAddr(c)}
	err = raw.Control(func(fd uintptr) {
		// Larger than what everybody may have, if this process may.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, writeBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		u.writer.offload = err == nil
	})
	if err != nil {
		return nil, err
	}
	u.reader.init()
	u.writer.init()
	return u, nil
}

func (c *conn) LocalAddr() netip.AddrPort { return c.local }

func (c *conn) Close() error { return c.c.Close() }

func putAddr(sa *unix.RawSockaddrInet4, a netip.AddrPort) {
	sa.Family = unix.AF_INET
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], a.Port())
	sa.Addr = a.Addr().Unmap().As4()
}

func addr(sa *unix.RawSockaddrInet4) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:]))
}
