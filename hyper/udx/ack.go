package udx

import "time"

// receiveAck takes in what a packet says about what the other side has, and its
// window.
func (st *Stream) receiveAck(h *header, blocks []byte, now time.Duration) {
	s := &st.snd
	if before(s.next, h.ack) {
		return
	}
	if !before(h.ack, s.una) {
		st.receiveWindow(h)
		for s.una != h.ack {
			at := s.slot(s.una)
			if at.p != nil {
				st.delivered(at.p, now)
			} else {
				s.sacked--
			}
			*at = slot{}
			s.una++
		}
	}
	n := min(len(blocks)/blockSize, maxBlocks)
	top := s.next
	for i := range n {
		b := block(blocks[i*blockSize:])
		st.receiveBlock(b, now)
		if i == maxBlocks-1 && before(b.end, top) {
			top = b.end // there may be more blocks than could be named
		}
	}
	if h.flags&^flagSack == 0 {
		st.rack.heard(top, top != s.next)
	}
}

func (st *Stream) receiveWindow(h *header) {
	s := &st.snd
	if s.windowed && !before(s.wl1, h.seq) && (s.wl1 != h.seq || before(h.ack, s.wl2)) {
		return
	}
	s.windowed = true
	s.window, s.wl1, s.wl2 = h.window, h.seq, h.ack
	if s.window > 0 {
		st.timers.window = 0
	}
}

// receiveBlock takes in one SACK block. What earlier blocks told is skipped, so
// that the same blocks over and over cost next to nothing.
func (st *Stream) receiveBlock(b span, now time.Duration) {
	s := &st.snd
	// The block must lie within una and next.
	if b.start-s.una >= s.next-s.una || b.end-s.una > s.next-s.una || !before(b.start, b.end) {
		return
	}
	for seq := b.start; seq != b.end; {
		at := s.slot(seq)
		if at.p == nil {
			if before(seq, at.skip) {
				if !before(at.skip, b.end) {
					break
				}
				seq = at.skip
			} else {
				seq++
			}
			continue
		}
		st.delivered(at.p, now)
		at.p, at.skip = nil, seq+1
		s.sacked++
		seq++
	}
	first := s.slot(b.start)
	if before(first.skip, b.end) {
		first.skip = b.end
	}
}

// delivered is called when the other side has p for the first time.
func (st *Stream) delivered(p *packet, now time.Duration) {
	s := &st.snd
	size := p.size()
	if p.list == &s.sent {
		s.inflight -= size
	} else {
		st.rack.wrong() // it was thought lost
	}
	s.count--
	s.bytes -= size
	if !p.retransmitted {
		if before(p.seq+1, s.highest) {
			st.rack.reordered = true
		}
		st.cc.sample.rtt = now - p.sentAt
		st.cc.sample.hasRTT = true
	}
	if before(s.highest, p.seq+1) {
		s.highest = p.seq + 1
	}
	st.cc.delivered(p, size, now)
	st.rack.delivered(p, now, st.cc.minRTT)
	st.mtu.delivered(p)
	st.release(p)
}

// acknowledged is called after a run of packets has been taken in.
func (st *Stream) acknowledged(now time.Duration) {
	s := &st.snd
	news := st.cc.sample.acked > 0
	if news {
		st.learn(now)
	}
	// What came out of turn was news when blocks named it, and is in turn only now.
	st.checkChange()
	if s.endSent && s.una == s.next && !s.endAcked {
		s.endAcked = true
		// The other side learns at once that we only wait for its end.
		st.ackPending = st.ackPending || !st.rcv.ended
	}
	if news && (s.count > 0 || s.ready()) {
		st.schedule()
	}
}

// learn draws conclusions from what has arrived at the other side.
func (st *Stream) learn(now time.Duration) {
	sample := &st.cc.sample
	if st.rack.limited || st.rack.wasLimited {
		// What arrived long ago may have become known only now.
		sample.valid = false
	}
	if sample.hasRTT {
		st.rtt.sample(sample.rtt)
	}
	st.detectLoss(now)
	st.cc.acknowledged(now, st.snd.inflight)
	st.rack.probing, st.rack.fresh, st.rack.wasLimited = false, false, st.rack.limited
	st.timers.acknowledged(st, now)
}

// acknowledge sends what was received: one packet as a rule. If the ranges do not
// fit, the lowest, the highest and in turn those between go out in a packet each.
func (st *Stream) acknowledge(b *batch, path *path) {
	r := &st.rcv
	if n := len(r.spans) - maxBlocks; n > 0 {
		st.sendSpans(b, path, r.spans[:maxBlocks])
		if n > maxBlocks {
			from := maxBlocks + r.turn%(n-maxBlocks)
			r.turn += maxBlocks
			st.sendSpans(b, path, r.spans[from:from+maxBlocks])
		}
		st.sendSpans(b, path, r.spans[max(n, maxBlocks):])
		return
	}
	st.sendSpans(b, path, r.spans)
}

func (st *Stream) sendSpans(b *batch, path *path, spans []span) {
	h := st.header(path, 0, st.snd.next)
	if len(spans) > 0 {
		h.flags = flagSack
	}
	out := b.scratch(headerSize + len(spans)*blockSize)
	h.put(out)
	for i, s := range spans {
		s.put(out[headerSize+i*blockSize:])
	}
	st.countSent(len(out))
	b.add(path, out, false)
}
