package udx

import "time"

// maxTimeouts is how many times a packet may time out.
const maxTimeouts = 6

// maxHeartbeats is how many questions about the window may stay unanswered.
const maxHeartbeats = 8

// timers are the instants at which a stream has something to do; 0 is never. One
// timer of the system serves them all. It is armed early rather than often.
type timers struct {
	timer *time.Timer
	armed time.Duration

	retransmit time.Duration
	probe      time.Duration // tail loss
	reorder    time.Duration
	pace       time.Duration
	window     time.Duration // ask for it
	keepAlive  time.Duration
	linger     time.Duration

	unanswered int // heartbeats
}

// next returns the first instant, or 0.
func (t *timers) next() time.Duration {
	var first time.Duration
	for _, at := range [...]time.Duration{t.retransmit, t.probe, t.reorder, t.pace, t.window, t.keepAlive, t.linger} {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

func (t *timers) clear() {
	t.retransmit, t.probe, t.reorder, t.pace, t.window, t.keepAlive = 0, 0, 0, 0, 0, 0
}

func (t *timers) stop() {
	t.clear()
	t.linger = 0
	if t.timer != nil {
		t.timer.Stop()
	}
}

// arm makes sure that the stream is served at the next instant.
func (st *Stream) arm(now time.Duration) {
	t := &st.timers
	if st.opts.KeepAlive > 0 && st.state == stateOpen && t.keepAlive == 0 {
		t.keepAlive = now + st.opts.KeepAlive
	}
	at := t.next()
	if at == 0 || t.armed != 0 && t.armed <= at {
		return
	}
	t.armed = at
	wait := max(at-now, 0)
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, st.timedOut)
		return
	}
	t.timer.Reset(wait)
}

// timedOut runs on a goroutine of its own and only has the stream served.
func (st *Stream) timedOut() {
	st.mu.Lock()
	st.timers.armed = 0
	if st.state != stateClosed {
		st.schedule()
	}
	st.unlock()
}

// heard is called for each packet received.
func (t *timers) heard(now time.Duration) {
	t.unanswered = 0
	t.keepAlive = 0
}

// sent is called after a packet was sent that will be acknowledged.
func (t *timers) sent(st *Stream, now time.Duration) {
	if t.retransmit == 0 {
		t.retransmit = now + st.rtt.timeout()
	}
	if !st.rack.probing {
		t.probe = now + st.rtt.probeTimeout()
	}
}

// acknowledged is called when something has arrived.
func (t *timers) acknowledged(st *Stream, now time.Duration) {
	t.retransmit, t.probe = 0, 0
	if st.snd.count > 0 {
		t.retransmit = now + st.rtt.timeout()
		if st.snd.inflight > 0 {
			t.probe = now + st.rtt.probeTimeout()
		}
	}
}

// expire does what is due.
func (st *Stream) expire(b *batch, now time.Duration) {
	t := &st.timers
	due := func(at *time.Duration) bool {
		if *at == 0 || *at > now {
			return false
		}
		*at = 0
		return true
	}
	if st.state == stateLinger {
		if due(&t.linger) {
			st.state = stateClosed
			st.t.forget(st)
		}
		return
	}
	due(&t.pace)
	if due(&t.reorder) {
		st.detectLoss(now)
	}
	if due(&t.retransmit) {
		st.timeout(now)
		if st.state != stateOpen {
			return
		}
	}
	if due(&t.probe) && st.snd.inflight > 0 && st.snd.lost.first == nil {
		st.rack.probe, st.rack.probing = true, true
	}
	if due(&t.window) && st.snd.window == 0 {
		if t.unanswered++; t.unanswered > maxHeartbeats {
			st.end(ErrTimeout)
			return
		}
		st.hooks.silence = t.unanswered > 2
		st.heartbeat(b)
		t.window = now + 2*st.rtt.timeout()
	}
	if due(&t.keepAlive) {
		st.heartbeat(b)
	}
}

func (st *Stream) heartbeat(b *batch) {
	h := st.header(st.path, flagHeartbeat, st.snd.next)
	out := b.scratch(headerSize)
	h.put(out)
	st.countSent(len(out))
	b.add(st.path, out, false)
}

// timeout is called when nothing was acknowledged for too long.
func (st *Stream) timeout(now time.Duration) {
	s := &st.snd
	if s.count == 0 {
		return
	}
	p := s.oldest()
	if p.timeouts++; p.timeouts > maxTimeouts {
		if st.rcv.ended && s.endSent {
			// Both sides have said all, and the other is gone: only its last
			// acknowledgement was lost.
			st.finish(now)
			return
		}
		st.end(ErrTimeout)
		return
	}
	st.stats.Timeouts++
	st.loseAll()
	st.cc.timeout()
	st.pace = pacer{}
	st.rack.probing = false
	if int(p.timeouts) >= 2 {
		st.mtu.blackHole()
		st.hooks.silence = true
	}
	st.timers.probe, st.timers.reorder = 0, 0
	st.timers.retransmit = now + 2*st.rtt.timeout()
}
