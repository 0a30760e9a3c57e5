package udx

import "time"

// meter measures at what rate data arrives, after
// draft-cheng-iccrg-delivery-rate-estimation: over the flight of a packet, what
// else arrived divided by the time it took to send or to arrive, the longer one.
type meter struct {
	total       int64 // bytes delivered
	deliveredAt time.Duration
	firstSentAt time.Duration // when the first packet of the current flight was sent
	limited     int64         // until that much is delivered the writer was too slow
	sample      sample
}

// rateStamp is what a packet remembers of the time when it was sent.
type rateStamp struct {
	delivered   int64
	deliveredAt time.Duration
	firstSentAt time.Duration
	appLimited  bool
}

// sample is what a run of acknowledgements tells.
type sample struct {
	acked  int // bytes
	hasRTT bool
	rtt    time.Duration

	valid       bool
	prior       rateStamp // of the packet sent last
	priorSentAt time.Duration
	arrived     int64
	sendTime    time.Duration
	ackTime     time.Duration
}

func (s *sample) reset() { *s = sample{} }

// rate is in bytes per second, 0 if it is not known.
func (s *sample) rate() float64 {
	d := max(s.sendTime, s.ackTime)
	if !s.valid || d <= 0 {
		return 0
	}
	return float64(s.arrived) / d.Seconds()
}

// stamp is called when p is sent while inflight bytes are on the way.
func (m *meter) stamp(p *packet, now time.Duration, inflight int) {
	if inflight == 0 {
		m.firstSentAt, m.deliveredAt = now, now
	}
	p.rate = rateStamp{m.total, m.deliveredAt, m.firstSentAt, m.limited != 0}
}

// delivered is called when p has arrived.
func (m *meter) delivered(p *packet, size int, now time.Duration) {
	m.total += int64(size)
	m.deliveredAt = now
	if m.limited != 0 && m.total > m.limited {
		m.limited = 0
	}
	s := &m.sample
	s.acked += size
	if !s.valid || p.rate.delivered > s.prior.delivered || p.rate.delivered == s.prior.delivered && p.sentAt > s.priorSentAt {
		s.valid = true
		s.prior, s.priorSentAt = p.rate, p.sentAt
		s.sendTime = p.sentAt - p.rate.firstSentAt
		m.firstSentAt = p.sentAt
	}
	s.arrived = m.total - s.prior.delivered
	s.ackTime = now - s.prior.deliveredAt
}

// appLimited is called when there is nothing more to send.
func (m *meter) appLimited(inflight int) { m.limited = max(m.total+int64(inflight), 1) }
