package udpio

import (
	"net"

	"golang.org/x/sys/unix"
)

func setDontFragment(c *net.UDPConn) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1) })
	}
}
