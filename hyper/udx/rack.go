package udx

import "time"

// rack finds lost packets by the time they were sent, as RFC 8985 does: a packet
// is lost if one sent sufficiently later has arrived.
type rack struct {
	// Of the packet sent last among those that arrived.
	sentAt time.Duration
	seq    uint32
	rtt    time.Duration
	some   bool

	reordered   bool // packets have overtaken each other
	patience    int  // grows when packets were thought lost and were not
	recoverySeq uint32

	// If the other side could not name all ranges it has, nothing is known about
	// packets from horizon on.
	limited    bool
	wasLimited bool // at the last run of acknowledgements
	fresh      bool // horizon is of this run
	horizon    uint32

	probing bool // a tail loss probe has been sent and not been answered
	probe   bool // one is to be sent
}

const maxPatience = 16

func (r *rack) wrong() { r.patience = min(r.patience+1, maxPatience) }

// heard is called for an acknowledgement that tells about packets up to top.
func (r *rack) heard(top uint32, limited bool) {
	if !r.fresh || before(r.horizon, top) {
		r.horizon, r.limited = top, limited
	}
	r.fresh = true
}

func (r *rack) delivered(p *packet, now, minRTT time.Duration) {
	rtt := now - p.sentAt
	if p.retransmitted && rtt < minRTT {
		r.wrong() // this is the answer to the one sent before
		return
	}
	if !r.some || p.sentAt > r.sentAt || p.sentAt == r.sentAt && before(r.seq, p.seq) {
		r.sentAt, r.seq, r.rtt, r.some = p.sentAt, p.seq, rtt, true
	}
}

// reorderWindow is how much later than a packet another must have been sent.
func (st *Stream) reorderWindow() time.Duration {
	r := &st.rack
	if !r.reordered && (before(st.snd.una, r.recoverySeq) || st.snd.sacked >= 3) {
		return 0
	}
	return min(time.Duration(r.patience+1)*st.cc.minRTT/4, max(st.rtt.smoothed, st.cc.minRTT))
}

// detectLoss moves lost packets to the list of those to be sent again.
func (st *Stream) detectLoss(now time.Duration) {
	s, r := &st.snd, &st.rack
	st.timers.reorder = 0
	if !r.some {
		return
	}
	window := st.reorderWindow()
	for p, next := s.sent.first, (*packet)(nil); p != nil; p = next {
		next = p.next
		if r.limited && !before(p.seq, r.horizon) {
			continue
		}
		if p.sentAt > r.sentAt || p.sentAt == r.sentAt && !before(p.seq, r.seq) {
			return
		}
		if at := p.sentAt + r.rtt + window; at > now {
			st.timers.reorder = at
			return
		}
		st.lose(p)
	}
}

// lose makes p be sent again.
func (st *Stream) lose(p *packet) {
	s := &st.snd
	p.unlink()
	s.lost.push(p)
	s.inflight -= p.size()
	st.cc.lost(p.size())
	if p.probe > 0 {
		st.mtu.lost(p)
	}
	if !before(s.una, st.rack.recoverySeq) {
		st.rack.recoverySeq = s.next
	}
}

// loseAll takes everything that is not acknowledged for lost. It is sent again in
// the order of numbers: a receiver that is full takes the oldest only.
func (st *Stream) loseAll() {
	s := &st.snd
	for seq := s.una; seq != s.next; seq++ {
		switch p := s.slot(seq).p; {
		case p == nil:
		case p.list == &s.sent:
			st.lose(p)
		default:
			p.unlink()
			s.lost.push(p)
		}
	}
}
