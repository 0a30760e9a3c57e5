package udpio

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// A quiet socket gets along with small buffers.
	quietReads = 4
	// A busy one receives trains of datagrams, up to 64 KiB each.
	busyReads  = 8
	trainBytes = 1 << 16
)

// reader is owned by the goroutine that reads.
type reader struct {
	hdrs    []mmsghdr
	iovs    []unix.Iovec
	names   []unix.RawSockaddrInet4
	control []readControl
	result  []Datagram
	size    int // of each buffer
	busy    bool

	call func(fd uintptr) bool // r.receive, made once
	n    int
	err  syscall.Errno
}

// readControl has room for the one control message asked for, UDP_GRO.
type readControl struct {
	hdr  unix.Cmsghdr
	size int32
	_    [4]byte
}

func (r *reader) init() {
	r.alloc(quietReads, MaxDatagram)
	r.call = r.receive
}

func (r *reader) alloc(count, size int) {
	r.size = size
	r.hdrs = make([]mmsghdr, count)
	r.iovs = make([]unix.Iovec, count)
	r.names = make([]unix.RawSockaddrInet4, count)
	r.control = make([]readControl, count)
	buf := make([]byte, count*size)
	for i := range r.hdrs {
		r.iovs[i].Base = &buf[i*size]
		r.iovs[i].SetLen(size)
		h := &r.hdrs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = (*byte)(unsafe.Pointer(&r.control[i]))
	}
}

func (c *conn) ReadBatch() ([]Datagram, error) {
	r := &c.reader
	if r.n == len(r.hdrs) && !r.busy {
		r.grow(c.raw)
	}
	for {
		for i := range r.hdrs {
			h := &r.hdrs[i].hdr
			h.Namelen = unix.SizeofSockaddrInet4
			h.SetControllen(int(unsafe.Sizeof(readControl{})))
			h.Flags = 0
		}
		if err := c.raw.Read(r.call); err != nil {
			return nil, net.ErrClosed
		}
		if r.err == 0 {
			break
		}
		// The kernel reports here what became of something sent earlier.
	}
	r.result = r.result[:0]
	for i := range r.n {
		r.split(i)
	}
	return r.result, nil
}

func (r *reader) receive(fd uintptr) bool {
	for {
		n, _, err := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(len(r.hdrs)), unix.MSG_DONTWAIT, 0, 0)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		r.n, r.err = int(n), err
		if err != 0 {
			r.n = 0
		}
		return true
	}
}

// grow turns a socket that has much to read into one that receives trains.
func (r *reader) grow(raw syscall.RawConn) {
	r.busy = true
	r.alloc(busyReads, trainBytes)
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
}

// split appends the datagrams of message i to the result.
func (r *reader) split(i int) {
	h := &r.hdrs[i]
	data := unsafe.Slice(r.iovs[i].Base, r.size)[:h.n:r.size]
	if h.hdr.Namelen != unix.SizeofSockaddrInet4 || r.names[i].Family != unix.AF_INET {
		return
	}
	from := addr(&r.names[i])
	size := len(data)
	if c := &r.control[i]; h.hdr.Controllen >= unix.SizeofCmsghdr+4 && c.hdr.Level == unix.IPPROTO_UDP && c.hdr.Type == unix.UDP_GRO && c.size > 0 {
		size = int(c.size)
	}
	for len(data) > size {
		r.result = append(r.result, Datagram{Data: data[:size:size], Addr: from})
		data = data[size:]
	}
	r.result = append(r.result, Datagram{Data: data, Addr: from})
}
