package udx

import (
	"os"
	"time"
)

// slot is the state of a packet that was sent and not acknowledged in order.
type slot struct {
	p *packet // nil once the other side has it
	// skip is set where a range begins that the other side has: it goes at least
	// up to there.
	skip uint32
}

// sender is the sending half of a stream.
type sender struct {
	una, next uint32 // the oldest packet not acknowledged, the next to be sent
	ring      []slot // by number
	sacked    int    // of una to next, how many the other side has
	highest   uint32 // behind the highest number the other side has

	unsent      packets // in order, without number
	unsentBytes int
	ending      bool // CloseWrite was called
	endSent     bool
	endAcked    bool // so is all before it

	sent packets // in flight, in the order in which they were sent
	lost packets // to be sent again

	inflight int // bytes of sent
	count    int // packets in sent and lost
	bytes    int // bytes of sent and lost

	window   uint32 // of the other side
	wl1, wl2 uint32 // numbers of the packet it was taken from
	windowed bool   // one was taken
}

// initialWindow is what the other side is believed to take before it says so.
const initialWindow = 4 << 20

// maxSendWindow bounds what is in flight whatever the other side offers.
const maxSendWindow = 16 << 20

func (s *sender) init() {
	s.window = initialWindow
	s.ring = nil
	s.sacked, s.unsentBytes, s.inflight, s.count, s.bytes = 0, 0, 0, 0, 0
}

// each calls f for every packet held; f takes it out of its list.
func (s *sender) each(f func(*packet)) {
	for _, l := range []*packets{&s.unsent, &s.sent, &s.lost} {
		for l.first != nil {
			f(l.first)
		}
	}
}

func (s *sender) slot(seq uint32) *slot { return &s.ring[seq&uint32(len(s.ring)-1)] }

// oldest returns the packet with the lowest number that the other side lacks.
// There must be one.
func (s *sender) oldest() *packet {
	seq := s.una
	for s.slot(seq).p == nil {
		seq++
	}
	return s.slot(seq).p
}

// hasNew tells whether there is something that was never sent.
func (s *sender) hasNew() bool {
	return s.unsent.first != nil || s.ending && !s.endSent
}

// ready tells whether there is anything to send.
func (s *sender) ready() bool { return s.lost.first != nil || s.hasNew() }

// add gives packet next to p.
func (s *sender) add(p *packet) {
	if n := int(s.next - s.una); n == len(s.ring) {
		ring := make([]slot, max(16, 2*n))
		for seq := s.una; seq != s.next; seq++ {
			ring[seq&uint32(len(ring)-1)] = *s.slot(seq)
		}
		s.ring = ring
	}
	p.seq = s.next
	*s.slot(p.seq) = slot{p: p}
	s.next++
	s.count++
	s.bytes += p.size()
}

// windowLets tells whether the window of the other side lets a new packet of
// that size out. payload is the data of a full packet.
func (s *sender) windowLets(size, payload int) bool {
	if s.window == 0 || int(s.next-s.una) >= maxDistance-1 {
		return false
	}
	window := int(min(s.window, maxSendWindow))
	return s.count == 0 || s.bytes+size <= window && s.count < window/payload
}

// takeNew returns the next packet to send for the first time, or nil.
func (s *sender) takeNew(t *Transport, payload int) *packet {
	p := s.unsent.first
	switch {
	case p == nil:
		p = t.newPacket()
		p.flags = flagEnd
	case p.end-p.start > payload:
		// The path became smaller. The header of the rest will stand where the
		// data of q was.
		q := t.newPacket()
		q.end += copy(q.buf[q.start:], p.buf[p.start:p.start+payload])
		p.start += payload
		p = q
	default:
		p.unlink()
	}
	s.unsentBytes -= p.end - p.start
	if s.unsent.first == nil && s.ending {
		p.flags |= flagEnd
		s.endSent = true
	}
	s.add(p)
	return p
}

// append takes up to limit bytes of data for sending and returns the rest.
func (s *sender) append(t *Transport, data []byte, limit, payload int) []byte {
	for len(data) > 0 && s.unsentBytes < limit {
		p := s.unsent.last
		if p == nil || p.end-p.start >= payload || p.end == len(p.buf) {
			p = t.newPacket()
			s.unsent.push(p)
		}
		room := p.buf[p.end:min(len(p.buf), p.start+payload)]
		n := copy(room, data)
		p.end += n
		s.unsentBytes += n
		data = data[n:]
	}
	return data
}

// Write sends p. It returns when p is in the send buffer.
func (st *Stream) Write(p []byte) (int, error) {
	st.writing.Lock()
	defer st.writing.Unlock()
	return st.write(p)
}

// WriteBuffers writes all buffers, in order.
func (st *Stream) WriteBuffers(buffers [][]byte) error {
	st.writing.Lock()
	defer st.writing.Unlock()
	for _, b := range buffers {
		if _, err := st.write(b); err != nil {
			return err
		}
	}
	return nil
}

func (st *Stream) write(p []byte) (int, error) {
	rest := p
	for {
		passed := st.writeDeadline.wait()
		if passed != nil && isClosed(passed) {
			return len(p) - len(rest), os.ErrDeadlineExceeded
		}
		var err error
		st.mu.Lock()
		switch {
		case st.state != stateOpen:
			err = st.closedError()
		case st.snd.ending:
			err = errEnded
		case st.relayTo != nil:
			err = errRelaying
		default:
			// Not all at once: the lock is wanted by others.
			part := rest[:min(len(rest), 64<<10)]
			left := st.snd.append(st.t, part, st.t.opts.SendBuffer, st.mtu.payload())
			if n := len(part) - len(left); n > 0 {
				rest = rest[n:]
				st.schedule()
			}
		}
		full := st.snd.unsentBytes >= st.t.opts.SendBuffer
		st.unlock()
		if err != nil || len(rest) == 0 {
			return len(p) - len(rest), err
		}
		if !full {
			continue
		}
		select {
		case <-st.writeWake:
		case <-st.done:
		case <-passed:
		}
	}
}

// transmit puts p into the batch, for the first time or again.
func (st *Stream) transmit(b *batch, p *packet, now time.Duration) {
	s := &st.snd
	if p.path == nil {
		p.path = st.path
	} else {
		st.stats.Retransmits++
		p.retransmitted = true
		if p.probe > 0 {
			st.mtu.lost(p)
		}
		if p.timeouts > 0 {
			p.path = st.path
		}
	}
	if p.list == &s.sent { // sent again although not lost: a probe
		s.inflight -= p.size()
	}
	p.unlink()
	st.cc.stamp(p, now, s.inflight)
	s.sent.push(p)
	s.inflight += p.size()
	p.sentAt = now
	st.pace.sent(p.size(), st.cc.rate, now)

	h := st.header(p.path, p.flags, p.seq)
	out := p.buf[p.start-headerSize : p.end]
	if pad := st.mtu.pad(p); pad > 0 && !p.retransmitted {
		h.offset = byte(pad)
		padded := b.scratch(len(out) + pad)
		clear(padded[headerSize : headerSize+pad])
		copy(padded[headerSize+pad:], p.data())
		out = padded
	}
	h.put(out)
	st.countSent(len(out))
	b.add(p.path, out, p.size() > st.mtu.size)
}
