package udx

import (
	"time"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

const (
	// turn is how many packets a stream may send before others have a turn.
	turn = 128
	// flushAt is how many packets are written in one go.
	flushAt = 128
)

// batch collects what a socket is about to send. It is owned by the writer.
type batch struct {
	sock    *Socket // set once
	out     []udpio.Datagram
	foreign []foreign
	served  []*Stream

	pages [][]byte // for packets that are not kept
	used  int
}

// foreign is a packet for another socket: one that is repeated to where a stream
// was connected before.
type foreign struct {
	sock *Socket
	d    udpio.Datagram
}

const pageSize = 2048

// scratch returns a buffer that is free again after the flush.
func (b *batch) scratch(n int) []byte {
	if b.used == len(b.pages) {
		b.pages = append(b.pages, make([]byte, pageSize))
	}
	page := b.pages[b.used]
	b.used++
	return page[:n:n]
}

func (b *batch) add(to *path, data []byte, fragment bool) {
	d := udpio.Datagram{Data: data, Addr: to.addr, Fragment: fragment}
	if to.sock != b.sock {
		b.foreign = append(b.foreign, foreign{to.sock, d})
		return
	}
	b.out = append(b.out, d)
}

// serve collects what st has to send now.
func (b *batch) serve(st *Stream, now time.Duration) {
	st.mu.Lock()
	st.queued = false
	if st.path == nil || st.state == stateClosed {
		st.unlock()
		return
	}
	if st.serving {
		// Another socket is not done with the stream yet.
		st.again = true
		st.unlock()
		return
	}
	st.serving, st.again = true, false
	more := st.serve(b, now)
	st.again = st.again || more
	b.served = append(b.served, st)
	st.unlock()
}

// flush writes what was collected.
func (b *batch) flush() {
	_ = b.sock.conn.WriteBatch(b.out)
	for i := range b.foreign {
		f := &b.foreign[i]
		_ = f.sock.conn.WriteBatch([]udpio.Datagram{f.d})
	}
	clear(b.out)
	clear(b.foreign)
	b.out, b.foreign, b.used = b.out[:0], b.foreign[:0], 0
	for i, st := range b.served {
		st.mu.Lock()
		st.serving = false
		for p := st.trash.first; p != nil; p = st.trash.first {
			p.unlink()
			st.t.freePacket(p)
		}
		if st.again && st.state != stateClosed {
			st.again = false
			st.schedule()
		}
		st.unlock()
		b.served[i] = nil
	}
	b.served = b.served[:0]
}

// serve sends what may be sent. It tells whether there is more for another turn.
func (st *Stream) serve(b *batch, now time.Duration) (more bool) {
	path := st.path
	st.expire(b, now)
	switch st.state {
	case stateClosed:
		return false
	case stateOpen:
		before := st.stats.PacketsSent
		more = st.fill(b, now)
		// Packets with data acknowledge too, but cannot tell what is missing.
		if st.stats.PacketsSent > before && len(st.rcv.spans) == 0 {
			st.ackPending = false
		}
	}
	if st.ackPending {
		st.ackPending = false
		st.acknowledge(b, path)
	}
	st.arm(now)
	return more
}

// fill sends packets as far as congestion control and the window let it.
func (st *Stream) fill(b *batch, now time.Duration) (more bool) {
	s := &st.snd
	if !s.ready() && !st.rack.probe {
		return false
	}
	st.timers.pace = 0
	burst := st.pace.begin(now, st.cc.rate)
	sentNew := false
	for budget := turn; ; budget-- {
		if budget == 0 {
			more = true
			break
		}
		p := s.lost.first
		if p == nil && !s.hasNew() {
			if !st.rack.probe || s.sent.last == nil {
				st.rack.probe = false
				st.cc.appLimited(s.inflight)
				break
			}
			p = s.sent.last
		}
		if !st.rack.probe {
			if s.inflight > 0 && s.inflight+maxMTU > st.cc.cwnd {
				break
			}
			if !burst.lets(&st.pace) {
				st.timers.pace = st.pace.next
				break
			}
		}
		if p == nil {
			if !s.windowLets(maxMTU, st.mtu.payload()) {
				if s.count == 0 && s.window == 0 && st.timers.window == 0 {
					st.timers.window = now + st.rtt.timeout()
				}
				if st.rack.probe && s.sent.last != nil {
					p = s.sent.last
				} else {
					break
				}
			} else {
				p = s.takeNew(st.t, st.mtu.payload())
				sentNew = true
			}
		}
		st.rack.probe = false
		st.transmit(b, p, now)
		st.timers.sent(st, now)
	}
	if sentNew && s.unsentBytes <= st.t.opts.SendBuffer/2 {
		poke(st.writeWake)
	}
	return more
}
