package udx

import "fmt"

// Dump describes the state of a stream.
func (st *Stream) Dump() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.dump()
}

func (st *Stream) dump() string {
	s, r := &st.snd, &st.rcv
	return fmt.Sprintf("state %d queued %v serving %v again %v ack %v path %v\nsend una %d next %d sacked %d unsent %d ending %v sent %v acked %v count %d bytes %d inflight %d first sent %v lost %v window %d\n"+
		"receive next %d ending %v at %d ended %v unread %d held %d granted %d\nrack %+v\ntimers %+v now %v\npace %+v cwnd %d rate %v\nmtu %+v\n%+v",
		st.state, st.queued, st.serving, st.again, st.ackPending, st.path != nil,
		s.una, s.next, s.sacked, s.unsentBytes, s.ending, s.endSent, s.endAcked, s.count, s.bytes, s.inflight, s.sent.first != nil, s.lost.first != nil, s.window,
		r.next, r.ending, r.endSeq, r.ended, r.unread, r.held, r.granted, st.rack, st.timers, st.t.now(), st.pace, st.cc.cwnd, st.cc.rate, st.mtu, st.stats)
}

// Received is the memory that streams hold for what is not read.
func (t *Transport) Received() int { return int(t.received.Load()) }
