package udx

import (
	"io"
	"os"
	"slices"
)

const (
	minWindow = 64 << 10
	maxWindow = 64 << 20

	// maxDistance is how far packet numbers may be apart.
	maxDistance = 1 << 15

	// smallestWindow is the least that is advertised: less would make the other
	// side send crumbs.
	smallestWindow = 2 * maxMTU
)

// receiver is the receiving half of a stream.
type receiver struct {
	next    uint32 // number of the next packet expected
	ending  bool   // the number of the last packet is known
	endSeq  uint32
	ended   bool // all has arrived
	dropped bool // nobody will read

	first, last *chunk
	unread      int

	// Packets that came before their turn: a ring by number, and their ranges in
	// ascending order.
	ring      []*early
	spans     []span
	held      int // their number
	heldBytes int // their data
	turn      int // where the next acknowledgement of many ranges goes on

	granted int // bytes of the window advertised last that are still free
}

// receiveData takes in a packet with DATA or END.
func (st *Stream) receiveData(h *header, data []byte) {
	r := &st.rcv
	st.ackPending = true
	ahead := int32(h.seq - r.next)
	if ahead < 0 || r.ended {
		return // again
	}
	if h.flags&flagEnd != 0 && !r.ending {
		r.ending, r.endSeq = true, h.seq
	}
	if r.ending && before(r.endSeq, h.seq) {
		return
	}
	if h.flags&flagData == 0 {
		data = nil
	}
	limit := 2 * st.t.opts.ReceiveWindow
	if ahead > 0 {
		// What is held is counted with the buffers it takes.
		if ahead < maxDistance && !st.t.full() && (r.held+1)*maxAccepted <= limit && r.unread <= limit {
			r.hold(st.t, h.seq, data)
		}
		return
	}
	if r.unread > 0 && (r.unread+len(data) > limit || st.t.full()) {
		return // the window was ignored, or was given before others took the memory
	}
	r.accept(st.t, data)
	for {
		e := r.take()
		if e == nil {
			break
		}
		r.accept(st.t, e.buf[:e.size])
		st.t.freeEarly(e)
	}
	if r.ending && before(r.endSeq, r.next) {
		r.ended = true
		r.dropEarly(st.t)
	}
	poke(st.readWake)
}

// accept takes the data of packet next.
func (r *receiver) accept(t *Transport, data []byte) {
	r.next++
	r.granted -= len(data)
	if r.dropped {
		return
	}
	r.unread += len(data)
	for len(data) > 0 {
		c := r.last
		if c == nil || c.w == len(c.buf) {
			c = t.newChunk()
			if r.last == nil {
				r.first = c
			} else {
				r.last.next = c
			}
			r.last = c
		}
		n := copy(c.buf[c.w:], data)
		c.w += n
		data = data[n:]
	}
}

// hold keeps a packet until its turn.
func (r *receiver) hold(t *Transport, seq uint32, data []byte) {
	ahead := int(seq - r.next)
	if ahead >= len(r.ring) {
		r.growRing(ahead + 1)
	}
	slot := &r.ring[seq&uint32(len(r.ring)-1)]
	if *slot != nil {
		return // again
	}
	e := t.newEarly()
	e.size = copy(e.buf[:], data)
	*slot = e
	r.held++
	r.heldBytes += e.size
	r.addSpan(seq)
}

func (r *receiver) growRing(need int) {
	size := max(64, len(r.ring))
	for size < need {
		size *= 2
	}
	ring := make([]*early, size)
	for _, s := range r.spans {
		for seq := s.start; seq != s.end; seq++ {
			ring[seq&uint32(size-1)] = r.ring[seq&uint32(len(r.ring)-1)]
		}
	}
	r.ring = ring
}

func (r *receiver) addSpan(seq uint32) {
	// Most packets continue the last span.
	i := len(r.spans)
	for i > 0 && before(seq, r.spans[i-1].start) {
		i--
	}
	// spans[i-1].start <= seq < spans[i].start
	left := i > 0 && r.spans[i-1].end == seq
	right := i < len(r.spans) && r.spans[i].start == seq+1
	switch {
	case left && right:
		r.spans[i-1].end = r.spans[i].end
		r.spans = slices.Delete(r.spans, i, i+1)
	case left:
		r.spans[i-1].end++
	case right:
		r.spans[i].start--
	default:
		r.spans = slices.Insert(r.spans, i, span{seq, seq + 1})
	}
}

// take returns packet next if it is held.
func (r *receiver) take() *early {
	if len(r.spans) == 0 || r.spans[0].start != r.next {
		return nil
	}
	slot := &r.ring[r.next&uint32(len(r.ring)-1)]
	e := *slot
	*slot = nil
	r.held--
	r.heldBytes -= e.size
	if r.spans[0].start++; r.spans[0].start == r.spans[0].end {
		r.spans = slices.Delete(r.spans, 0, 1)
	}
	return e
}

// dropEarly forgets what came before its turn.
func (r *receiver) dropEarly(t *Transport) {
	for _, s := range r.spans {
		for seq := s.start; seq != s.end; seq++ {
			t.freeEarly(r.ring[seq&uint32(len(r.ring)-1)])
		}
	}
	r.ring, r.spans, r.held, r.heldBytes = nil, nil, 0, 0
}

// drop forgets what was received.
func (r *receiver) drop(t *Transport) {
	r.dropped = true
	for c := r.first; c != nil; {
		next := c.next
		t.freeChunk(c)
		c = next
	}
	r.first, r.last, r.unread = nil, nil, 0
}

// free is the part of the window that is not used.
func (st *Stream) freeWindow() int {
	r := &st.rcv
	free := min(st.t.opts.ReceiveWindow-r.unread-r.heldBytes, st.t.share())
	if free < smallestWindow {
		return 0
	}
	return free
}

// advertise returns the window to write into a packet.
func (st *Stream) advertise() uint32 {
	st.rcv.granted = st.freeWindow()
	return uint32(st.rcv.granted)
}

// Read reads what was received in order. The error is io.EOF after the end of
// the other side. When the stream has ended with an error what was received
// before can still be read.
func (st *Stream) Read(p []byte) (int, error) {
	for {
		passed := st.readDeadline.wait()
		if passed != nil && isClosed(passed) {
			return 0, os.ErrDeadlineExceeded
		}
		st.mu.Lock()
		n, err := st.readLocked(p)
		st.unlock()
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-st.readWake:
		case <-st.done:
		case <-passed:
		}
	}
}

func (st *Stream) readLocked(p []byte) (int, error) {
	r := &st.rcv
	n := 0
	for n < len(p) && r.first != nil {
		c := r.first
		m := copy(p[n:], c.buf[c.r:c.w])
		n += m
		c.r += m
		if c.r < c.w {
			break
		}
		// The last chunk goes too: a quiet stream holds no memory.
		if r.first = c.next; r.first == nil {
			r.last = nil
		}
		st.t.freeChunk(c)
	}
	r.unread -= n
	switch {
	case n > 0:
		if st.state == stateOpen && st.path != nil && st.freeWindow()-max(r.granted, 0) >= max(st.t.share()/4, smallestWindow) {
			st.ackPending = true
			st.schedule()
		}
		return n, nil
	case r.ended && !r.dropped:
		return 0, io.EOF
	case st.state != stateOpen:
		return 0, st.closedError()
	case st.relayTo != nil:
		return 0, errRelaying
	}
	return 0, nil
}
