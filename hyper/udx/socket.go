package udx

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

// Socket is a UDP socket that carries streams and other datagrams side by side.
type Socket struct {
	t    *Transport                                  // set once
	conn udpio.Conn                                  // set once
	raw  func(s *Socket, p []byte, a netip.AddrPort) // set once; may be nil
	wg   sync.WaitGroup
	wake chan struct{} // there is something to write, or the socket is closed
	ones sync.Pool     // of *one

	closeErr error // of conn; set before the writer ends

	mu          sync.Mutex // guards what follows; taken last
	first, last *Stream    // that want to send
	closed      bool
}

// one is a batch of one datagram.
type one struct{ ds [1]udpio.Datagram }

func newSocket(t *Transport, conn udpio.Conn, raw func(*Socket, []byte, netip.AddrPort)) *Socket {
	s := &Socket{t: t, conn: conn, raw: raw, wake: make(chan struct{}, 1)}
	s.ones.New = func() any { return new(one) }
	return s
}

func (s *Socket) start() {
	s.wg.Go(s.read)
	s.wg.Go(s.write)
}

// LocalAddr is the address the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return s.conn.LocalAddr() }

// Send sends one datagram beside the streams. It is lost if the network does not
// take it.
func (s *Socket) Send(b []byte, to netip.AddrPort) error { return s.SendTTL(b, to, 0) }

// SendTTL is like Send for a datagram that passes at most ttl hops.
func (s *Socket) SendTTL(b []byte, to netip.AddrPort, ttl int) error {
	o := s.ones.Get().(*one)
	o.ds[0] = udpio.Datagram{Data: b, Addr: to, TTL: uint8(ttl)}
	err := s.conn.WriteBatch(o.ds[:])
	o.ds[0] = udpio.Datagram{}
	s.ones.Put(o)
	if err != nil {
		return ErrClosed
	}
	return nil
}

// Close destroys the streams that are connected over the socket and waits for
// its goroutines.
func (s *Socket) Close() error {
	for _, st := range s.t.streamsWhere(func(st *Stream) bool { return st.path != nil && st.path.sock == s }) {
		st.Close()
	}
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		s.poke()
		s.wg.Wait() // the writer closes conn when all is sent
		s.t.mu.Lock()
		delete(s.t.sockets, s)
		s.t.mu.Unlock()
	}
	s.wg.Wait()
	return s.closeErr
}

func (s *Socket) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// enqueue lets the writer serve st. The lock of st must be held.
func (s *Socket) enqueue(st *Stream) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	st.nextReady = nil
	idle := s.first == nil
	if idle {
		s.first = st
	} else {
		s.last.nextReady = st
	}
	s.last = st
	s.mu.Unlock()
	if idle {
		s.poke()
	}
	return true
}

func (s *Socket) dequeue() (st *Stream, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st = s.first; st != nil {
		s.first = st.nextReady
		st.nextReady = nil
	}
	return st, s.closed
}

// write serves the streams that want to send, one after the other.
func (s *Socket) write() {
	b := batch{sock: s}
	for {
		st, closed := s.dequeue()
		if st != nil {
			b.serve(st, s.t.now())
			if len(b.out) < flushAt {
				continue
			}
		}
		if len(b.served) > 0 {
			b.flush()
			continue
		}
		if closed {
			s.closeErr = s.conn.Close() // ends the reader
			return
		}
		<-s.wake
	}
}

// read takes in datagrams.
func (s *Socket) read() {
	in := inbound{s: s}
	for {
		ds, err := s.conn.ReadBatch()
		if err != nil {
			return
		}
		in.now = s.t.now()
		for i := range ds {
			in.datagram(&ds[i])
		}
		in.done()
	}
}

// inbound is the state of the reader of a socket while it works on a batch.
type inbound struct {
	s     *Socket
	now   time.Duration
	st    *Stream // whose lock is held, if not nil
	relay relayRun
}

func (in *inbound) datagram(d *udpio.Datagram) {
	h, ok := parse(d.Data)
	if ok && (in.st == nil || in.st.id != h.id) {
		in.leave()
		if st := in.s.t.lookup(h.id); st != nil {
			st.mu.Lock()
			in.st = st
		}
	}
	if !ok || in.st == nil {
		in.leave()
		if in.s.raw != nil {
			in.s.raw(in.s, d.Data, d.Addr)
		}
		return
	}
	in.packet(d, &h)
}

// packet handles a packet for in.st.
func (in *inbound) packet(d *udpio.Datagram, h *header) {
	st := in.st
	if !st.expects(in.s, d.Addr, in.now) {
		firewall := st.opts.Firewall
		if firewall == nil || st.state == stateClosed {
			return
		}
		// The hook may well connect the stream.
		in.leave()
		if !firewall(in.s, d.Addr) {
			return
		}
		st.mu.Lock()
		in.st = st
	}
	if dest := st.relayTo; dest != nil {
		if h.flags&flagDestroy != 0 {
			in.leave()
			in.relay.add(dest, d)
			in.relay.flush()
			st.closeWith(ErrReset)
			dest.closeWith(ErrReset)
			return
		}
		st.stats.PacketsReceived++
		st.stats.BytesReceived += uint64(len(d.Data))
		in.relay.add(dest, d)
		return
	}
	message, ok := st.receive(d, h, in.now)
	if ok && st.opts.OnMessage != nil {
		in.leave()
		st.opts.OnMessage(message)
	}
}

// leave finishes the work on in.st and gives its lock back.
func (in *inbound) leave() {
	if st := in.st; st != nil {
		in.st = nil
		st.received(in.now)
		st.unlock()
	}
}

func (in *inbound) done() {
	in.leave()
	in.relay.flush()
}
