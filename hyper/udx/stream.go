package udx

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

// StreamOptions configures a Stream. The zero value accepts nothing before
// Connect and nothing from anywhere but the remote afterwards.
//
// Hooks are called without a lock, one at a time per socket, by the goroutine
// that receives: they must not wait.
type StreamOptions struct {
	// Firewall decides about packets that come before the stream is connected,
	// on another socket than the connected one, or from another address than the
	// remote: true lets the packet in. It may call Connect and ChangeRemote; by
	// itself nothing changes. nil refuses all.
	Firewall func(s *Socket, from netip.AddrPort) bool
	// OnMessage gets unordered messages. b is valid until it returns.
	OnMessage func(b []byte)
	// OnRemoteChanged is called when everything sent before ChangeRemote has been
	// acknowledged.
	OnRemoteChanged func()
	// OnSilence is called, more than once, while the remote acknowledges nothing:
	// when a packet, or a question about the window, has timed out twice or more.
	// The path may be gone.
	OnSilence func()
	// KeepAlive is the time of silence after which a heartbeat is sent, which the
	// other side answers. Default: never.
	KeepAlive time.Duration
}

const (
	stateOpen   = iota
	stateLinger // both sides have ended: only late packets are answered
	stateClosed
)

// linger is how long a finished stream answers repeated packets, so that a lost
// last acknowledgement does not leave the other side waiting.
const linger = 3 * time.Second

// pathGrace is how long packets from the remote before the last change are let in.
const pathGrace = 30 * time.Second

// followAfter is how long the remote must be silent before the stream follows it
// to another address.
const followAfter = time.Second

// Stream is one end of a reliable byte stream, with unordered messages beside
// it. It is a net.Conn. One goroutine may read while others write; writes of
// several goroutines do not mix. Writing may begin before Connect.
type Stream struct {
	t    *Transport    // set once
	id   uint32        // set once
	opts StreamOptions // set once

	done      chan struct{} // closed when the stream has ended
	readWake  chan struct{}
	writeWake chan struct{}

	remote atomic.Pointer[path] // a copy of path

	readDeadline, writeDeadline deadline

	writing sync.Mutex // held by the one that writes; taken before mu

	nextReady *Stream // in the list of a socket; guarded by that socket's lock

	held held // has its own lock

	mu            sync.Mutex // guards what follows
	state         int
	err           error         // why the stream ended; nil after a regular end
	path          *path         // nil until connected
	heardAt       time.Duration // when something came by path, or it was set
	previous      *path         // accepted until previousUntil
	previousUntil time.Duration
	changing      bool   // ChangeRemote is not complete
	changeSeq     uint32 // the first number that was not sent before it
	relayTo       *Stream

	queued  bool // a socket will serve the stream
	serving bool // packets are in a batch that is not written yet
	again   bool // serve once more afterwards
	trash   packets

	ackPending bool
	hooks      hooks
	rcv        receiver
	snd        sender
	rtt        rtt
	rack       rack
	cc         bbr
	pace       pacer
	mtu        mtu
	timers     timers
	stats      Stats
}

// hooks are calls to be made once the lock is free.
type hooks struct {
	remoteChanged bool
	silence       bool
}

// Stats counts what a stream has done. Bytes are those of UDP datagrams.
type Stats struct {
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64
	// Retransmits counts packets sent again, Timeouts the times nothing was
	// acknowledged for a whole timeout.
	Retransmits, Timeouts uint64
	// Congestion is the congestion window in bytes, Inflight what is used of it.
	Congestion, Inflight int
	// Rate is the estimated rate of the path in bytes per second.
	Rate float64
	// RTT is the smoothed round trip time, MinRTT the shortest lately.
	RTT, MinRTT time.Duration
	// MTU is the size of the path in bytes.
	MTU int
}

var _ net.Conn = (*Stream)(nil)

func newStream(t *Transport, id uint32, o *StreamOptions) *Stream {
	st := &Stream{
		t: t, id: id,
		done:      make(chan struct{}),
		readWake:  make(chan struct{}, 1),
		writeWake: make(chan struct{}, 1),
	}
	if o != nil {
		st.opts = *o
	}
	st.snd.init()
	st.cc.init(id)
	st.mtu.reset()
	return st
}

// ID is the number by which the other side sends to this stream.
func (st *Stream) ID() uint32 { return st.id }

// Connect sets where the stream sends to. Nothing is sent by that alone.
func (st *Stream) Connect(s *Socket, remoteID uint32, to netip.AddrPort) error {
	st.mu.Lock()
	defer st.unlock()
	switch {
	case st.state != stateOpen:
		return st.closedError()
	case st.path != nil:
		return ErrConnected
	}
	st.setPath(s, remoteID, to)
	st.sendHeld()
	st.schedule()
	return nil
}

// ChangeRemote sets where new packets go. What was sent before is repeated to
// where it went, unless that no longer answers. Packets from the remote before
// are accepted for a while.
func (st *Stream) ChangeRemote(s *Socket, remoteID uint32, to netip.AddrPort) error {
	st.mu.Lock()
	defer st.unlock()
	switch {
	case st.state != stateOpen:
		return st.closedError()
	case st.path == nil:
		return ErrNotConnected
	}
	now := st.t.now()
	st.previous, st.previousUntil = st.path, now+pathGrace
	st.setPath(s, remoteID, to)
	st.changing, st.changeSeq = true, st.snd.next
	st.mtu.reset()
	st.cc.init(st.id)
	st.pace = pacer{}
	st.checkChange()
	st.ackPending = true // tells the other side about the way
	st.schedule()
	return nil
}

// Follow is for a remote that got another address, because its router did or it
// was carried into another network: if nothing came from the remote for a second
// all packets, also those sent before, go to the new address, and true is
// returned. A firewall hook calls it. Who forges the source of a packet can lead
// a silent stream away by that: no more than a few packets are sent there before
// they are acknowledged, and the stream follows the true remote back.
func (st *Stream) Follow(s *Socket, to netip.AddrPort) bool {
	st.mu.Lock()
	defer st.unlock()
	now := st.t.now()
	if st.state != stateOpen || st.path == nil || now-st.heardAt < followAfter {
		return false
	}
	st.setPath(s, st.path.id, to)
	st.previous = nil
	st.loseAll()
	for p := st.snd.lost.first; p != nil; p = p.next {
		p.path, p.timeouts = st.path, 0
	}
	st.mtu.reset()
	st.cc.init(st.id)
	st.cc.cwnd = minCwnd
	st.pace = pacer{}
	st.rack.probing = false
	st.timers.probe, st.timers.reorder, st.timers.pace, st.timers.retransmit = 0, 0, 0, 0
	if st.snd.count > 0 {
		st.timers.retransmit = now + st.rtt.timeout()
	}
	st.schedule()
	return true
}

func (st *Stream) setPath(s *Socket, remoteID uint32, to netip.AddrPort) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	st.path = &path{sock: s, id: remoteID, addr: to}
	st.remote.Store(st.path)
	st.heardAt = st.t.now()
}

func (st *Stream) checkChange() {
	if st.changing && !before(st.snd.una, st.changeSeq) {
		st.changing = false
		st.hooks.remoteChanged = true
	}
}

// expects is called for each packet and tells whether one from that address may
// come without asking.
func (st *Stream) expects(s *Socket, from netip.AddrPort, now time.Duration) bool {
	if p := st.path; p != nil && p.sock == s && p.addr == from {
		st.heardAt = now
		return true
	}
	p := st.previous
	return p != nil && p.sock == s && p.addr == from && now < st.previousUntil
}

// unlock gives mu back and makes the calls that had to wait for that.
func (st *Stream) unlock() {
	h := st.hooks
	st.hooks = hooks{}
	st.mu.Unlock()
	if h.remoteChanged && st.opts.OnRemoteChanged != nil {
		st.opts.OnRemoteChanged()
	}
	if h.silence && st.opts.OnSilence != nil {
		st.opts.OnSilence()
	}
}

// schedule has the stream served soon.
func (st *Stream) schedule() {
	switch {
	case st.path == nil || st.queued:
	case st.serving:
		st.again = true
	default:
		st.queued = st.path.sock.enqueue(st)
	}
}

// SendMessage sends b in a packet of its own, unordered and unacknowledged: it
// may get lost. The largest size is MTU() - 48. An empty message is legal.
func (st *Stream) SendMessage(b []byte) error {
	st.mu.Lock()
	switch {
	case st.state != stateOpen:
		defer st.mu.Unlock()
		return st.closedError()
	case st.path == nil:
		st.mu.Unlock()
		return ErrNotConnected
	case len(b) > st.mtu.payload():
		st.mu.Unlock()
		return ErrTooLarge
	}
	path := st.path
	h := st.header(path, flagMessage, st.snd.next)
	st.countSent(headerSize + len(b))
	st.mu.Unlock()
	st.sendOne(path, &h, b)
	return nil
}

// sendOne sends a packet at once. The lock need not be held.
func (st *Stream) sendOne(path *path, h *header, data []byte) {
	p := st.t.newPacket()
	h.put(p.buf[:])
	n := copy(p.buf[headerSize:], data)
	_ = path.sock.Send(p.buf[:headerSize+n], path.addr)
	st.t.freePacket(p)
}

// header makes the header of a packet without block or padding.
func (st *Stream) header(path *path, flags byte, seq uint32) header {
	return header{flags: flags, id: path.id, window: st.advertise(), seq: seq, ack: st.rcv.next}
}

func (st *Stream) countSent(size int) {
	st.stats.PacketsSent++
	st.stats.BytesSent += uint64(size)
}

// CloseWrite tells the other side that nothing follows what was written. When
// the other side has done the same and all has arrived the stream ends.
func (st *Stream) CloseWrite() error {
	st.writing.Lock()
	defer st.writing.Unlock()
	st.mu.Lock()
	defer st.unlock()
	if st.state == stateClosed {
		return st.closedError()
	}
	if !st.snd.ending {
		st.snd.ending = true
		st.schedule()
	}
	return nil
}

// Close ends the stream at once: the other side is told so, what it has not
// received yet is lost. To be sure of that call CloseWrite and wait for Done
// first. It is safe to call it again.
func (st *Stream) Close() error {
	st.closeWith(ErrClosed)
	st.mu.Lock()
	st.rcv.drop(st.t)
	st.mu.Unlock()
	return nil
}

// closeWith ends the stream, with a packet that says so if the end comes from
// here.
func (st *Stream) closeWith(err error) {
	st.mu.Lock()
	tell := st.state == stateOpen && st.path != nil && st.relayTo == nil && err == ErrClosed
	var path *path
	var h header
	if tell {
		path = st.path
		h = st.header(path, flagDestroy, st.snd.next)
		st.countSent(headerSize)
	}
	st.end(err)
	st.unlock()
	if tell {
		st.sendOne(path, &h, nil)
	}
}

// end makes the stream end with err, if it has not ended.
func (st *Stream) end(err error) {
	if st.state != stateOpen {
		return
	}
	st.state, st.err = stateClosed, err
	st.t.debug("udx: stream ends", "id", st.id, "err", err)
	st.t.forget(st)
	st.free()
	st.timers.stop()
	close(st.done)
}

// finish makes the stream end in the regular way: both sides have said all.
func (st *Stream) finish(now time.Duration) {
	st.state = stateLinger
	st.free()
	st.timers.clear()
	st.timers.linger = now + linger
	close(st.done)
}

// remove forgets a stream that lingers.
func (st *Stream) remove() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.state == stateLinger {
		st.state = stateClosed
		st.t.forget(st)
		st.timers.stop()
	}
}

// free gives back what the stream holds for sending and for data that came out
// of order.
func (st *Stream) free() {
	st.snd.each(st.release)
	st.snd.init()
	st.rcv.dropEarly(st.t)
}

// release gives a packet back, once no batch needs it.
func (st *Stream) release(p *packet) {
	p.unlink()
	if st.serving {
		st.trash.push(p)
		return
	}
	st.t.freePacket(p)
}

// closedError is what a call on an ended stream returns.
func (st *Stream) closedError() error {
	if st.err != nil {
		return st.err
	}
	return ErrClosed
}

// Done is closed when the stream has ended. What was received may still be read.
func (st *Stream) Done() <-chan struct{} { return st.done }

// Err tells why the stream has ended; nil before that and after a regular end.
func (st *Stream) Err() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}

// MTU is the size of the path in bytes as far as it is known.
func (st *Stream) MTU() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.mtu.size
}

// RTT is the smoothed round trip time, 0 if nothing was acknowledged yet.
func (st *Stream) RTT() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.rtt.smoothed
}

// Stats returns the counters.
func (st *Stream) Stats() Stats {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.stats
	s.Congestion, s.Inflight = st.cc.cwnd, st.snd.inflight
	s.Rate, s.RTT, s.MinRTT, s.MTU = st.cc.maxRate, st.rtt.smoothed, st.cc.minRTT, st.mtu.size
	return s
}

// Silence is how long nothing has come from the remote, 0 before Connect.
func (st *Stream) Silence() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.path == nil {
		return 0
	}
	return st.t.now() - st.heardAt
}

// LocalAddr is the address of the socket, nil before Connect.
func (st *Stream) LocalAddr() net.Addr {
	if p := st.remote.Load(); p != nil {
		return net.UDPAddrFromAddrPort(p.sock.LocalAddr())
	}
	return nil
}

// RemoteAddr is where the stream sends to, nil before Connect.
func (st *Stream) RemoteAddr() net.Addr {
	if p := st.remote.Load(); p != nil {
		return net.UDPAddrFromAddrPort(p.addr)
	}
	return nil
}

// RemoteAddrPort is where the stream sends to, invalid before Connect.
func (st *Stream) RemoteAddrPort() netip.AddrPort {
	if p := st.remote.Load(); p != nil {
		return p.addr
	}
	return netip.AddrPort{}
}

// receive handles a packet for the stream. If it carries a message that is
// returned.
func (st *Stream) receive(d *udpio.Datagram, h *header, now time.Duration) (message []byte, ok bool) {
	if st.state == stateClosed {
		return nil, false
	}
	blocks, data, ok := h.split(d.Data)
	if !ok {
		return nil, false
	}
	st.stats.PacketsReceived++
	st.stats.BytesReceived += uint64(len(d.Data))
	st.timers.heard(now)
	if st.state == stateLinger {
		st.ackPending = st.ackPending || h.flags&(flagData|flagEnd|flagHeartbeat) != 0
		return nil, false
	}
	if h.flags&flagHeartbeat != 0 {
		st.ackPending = true
		return nil, false
	}
	if h.flags&(flagData|flagEnd) != 0 {
		st.receiveData(h, data)
	}
	if h.flags&flagDestroy != 0 && !before(h.seq, st.rcv.next) {
		st.end(ErrReset)
		return nil, false
	}
	st.receiveAck(h, blocks, now)
	if h.flags&flagMessage != 0 && h.flags&flagData == 0 {
		return data, true
	}
	return nil, false
}

// received is called after a run of packets for the stream.
func (st *Stream) received(now time.Duration) {
	if st.state == stateOpen {
		st.acknowledged(now)
		if st.snd.endAcked && st.rcv.ended {
			st.finish(now)
		}
	}
	if st.state != stateClosed && (st.ackPending || st.snd.ready()) {
		st.schedule()
	}
}
