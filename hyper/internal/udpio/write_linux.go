package udpio

import (
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sendMessages = 32   // per system call
	sendBuffers  = 1024 // per system call
	// maxSegments and maxTrain bound what UDP_SEGMENT takes in one message.
	maxSegments = 64
	maxTrain    = 1<<16 - 1 - 28
)

type writer struct {
	mu      sync.Mutex // guards everything below
	offload bool       // runs are sent as one message

	hdrs    [sendMessages]mmsghdr
	names   [sendMessages]unix.RawSockaddrInet4
	control [sendMessages]writeControl
	counts  [sendMessages]int // datagrams in each message
	iovs    []unix.Iovec

	call       func(fd uintptr) bool // w.send, made once
	next, last int                   // hdrs[next:last] is to be sent
	err        syscall.Errno
}

// writeControl has room for one control message: UDP_SEGMENT or IP_TTL.
type writeControl struct {
	hdr   unix.Cmsghdr
	value int32 // the first two bytes in the case of UDP_SEGMENT
	_     [4]byte
}

func (w *writer) init() {
	w.iovs = make([]unix.Iovec, sendBuffers)
	w.call = w.send
}

func (c *conn) WriteBatch(ds []Datagram) error {
	w := &c.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(ds) > 0 {
		if ds[0].Fragment {
			if err := c.writeFragmented(&ds[0]); err != nil {
				return err
			}
			ds = ds[1:]
			continue
		}
		n := w.pack(ds)
		if err := c.flush(ds[:n]); err != nil {
			return err
		}
		ds = ds[n:]
	}
	return nil
}

// pack prepares messages for the first datagrams of ds and tells for how many.
func (w *writer) pack(ds []Datagram) int {
	done, buffers := 0, 0
	w.next, w.last = 0, 0
	for done < len(ds) && w.last < sendMessages && buffers < sendBuffers {
		run := 1
		if w.offload {
			run = runLength(ds[done:min(len(ds), done+sendBuffers-buffers)])
		}
		d := &ds[done]
		if d.Fragment {
			break
		}
		iovs := w.iovs[buffers : buffers+run]
		for i := range iovs {
			data := ds[done+i].Data
			iovs[i].Base = unsafe.SliceData(data)
			iovs[i].SetLen(len(data))
		}
		putAddr(&w.names[w.last], d.Addr)
		h := &w.hdrs[w.last].hdr
		h.Name = (*byte)(unsafe.Pointer(&w.names[w.last]))
		h.Namelen = unix.SizeofSockaddrInet4
		h.Iov = &iovs[0]
		h.SetIovlen(run)
		h.Control = nil
		h.SetControllen(0)
		control := &w.control[w.last]
		switch {
		case run > 1:
			control.put(h, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
			*(*uint16)(unsafe.Pointer(&control.value)) = uint16(len(d.Data))
		case d.TTL > 0:
			control.put(h, unix.IPPROTO_IP, unix.IP_TTL, 4)
			control.value = int32(d.TTL)
		}
		w.counts[w.last] = run
		w.last++
		done, buffers = done+run, buffers+run
	}
	return done
}

func (c *writeControl) put(h *unix.Msghdr, level, kind int32, size int) {
	c.hdr.Level, c.hdr.Type = level, kind
	c.hdr.SetLen(unix.CmsgLen(size))
	h.Control = (*byte)(unsafe.Pointer(c))
	h.SetControllen(unix.CmsgSpace(size))
}

// runLength tells how many of the first datagrams can be one message: those to
// the same address with the same length, and one shorter behind them.
func runLength(ds []Datagram) int {
	first := &ds[0]
	size := len(first.Data)
	total := size
	if size == 0 || first.TTL > 0 {
		return 1
	}
	n := 1
	for n < len(ds) && n < maxSegments {
		d := &ds[n]
		total += len(d.Data)
		if len(d.Data) > size || len(d.Data) == 0 || d.TTL > 0 || d.Fragment || total > maxTrain || d.Addr != first.Addr {
			break
		}
		n++
		if len(d.Data) < size {
			break
		}
	}
	return n
}

// flush sends the prepared messages, which carry ds.
func (c *conn) flush(ds []Datagram) error {
	w := &c.writer
	for w.next < w.last {
		before := w.next
		if err := c.raw.Write(w.call); err != nil {
			return net.ErrClosed
		}
		for _, n := range w.counts[before:w.next] {
			ds = ds[n:]
		}
		if w.err == 0 {
			continue
		}
		// Message next was refused.
		failed := ds[:w.counts[w.next]]
		ds = ds[len(failed):]
		w.next++
		if len(failed) > 1 {
			if w.err == unix.EIO {
				w.offload = false // the device or its driver cannot, after all
			}
			next, last := w.next, w.last
			if err := c.writeSingly(failed); err != nil {
				return err
			}
			w.next, w.last = next, last
		}
	}
	return nil
}

// send makes system calls until everything is sent or something is refused.
func (w *writer) send(fd uintptr) bool {
	w.err = 0
	for w.next < w.last {
		n, _, err := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.hdrs[w.next])), uintptr(w.last-w.next), unix.MSG_DONTWAIT, 0, 0)
		switch err {
		case 0:
			w.next += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.err = err
			return true
		}
	}
	return true
}

// writeSingly sends datagrams one by one, whatever became of the one before.
func (c *conn) writeSingly(ds []Datagram) error {
	for i := range ds {
		if err := c.writeOne(&ds[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) writeOne(d *Datagram) error {
	var sa unix.RawSockaddrInet4
	putAddr(&sa, d.Addr)
	err := c.raw.Write(func(fd uintptr) bool {
		for {
			_, _, err := unix.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.Data))), uintptr(len(d.Data)),
				unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet4)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return net.ErrClosed
	}
	return nil
}

// writeFragmented sends d without the don't-fragment bit. w.mu must be held: it
// keeps other datagrams away meanwhile.
func (c *conn) writeFragmented(d *Datagram) error {
	c.pmtu(unix.IP_PMTUDISC_DONT)
	defer c.pmtu(unix.IP_PMTUDISC_PROBE)
	return c.writeOne(d)
}

func (c *conn) pmtu(mode int) {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, mode) })
}
