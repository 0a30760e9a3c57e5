package udx

import "time"

// bbr is congestion control by a model of the path, after BBR version 1
// (draft-cardwell-iccrg-bbr-congestion-control-00): the rate at which data
// arrives and the shortest round trip time, not loss, say how much to send. A
// path that loses packets at random is used as well as one that does not.
type bbr struct {
	meter
	mode       int
	rate       float64 // bytes per second to send at
	cwnd       int     // bytes in flight at most
	pacingGain float64
	cwndGain   float64

	// maxRate is the highest rate measured lately: the maximum of rates, whose
	// entries cover a round trip each, and at least rateSpan.
	maxRate float64
	rates   [10]float64
	rateAt  int
	rateNew time.Duration // when the current entry began

	minRTT   time.Duration
	minRTTAt time.Duration

	nextRound  int64 // the round ends when a packet sent with that much delivered arrives
	roundStart bool

	full      float64 // rate at the last growth
	fullCount int     // rounds without growth
	filled    bool    // the path is full, the start is over

	phase     int
	phaseAt   time.Duration
	probeDone time.Duration // when the search for a shorter RTT ends, 0 before it began

	// Acknowledgements come in lumps; extra is how much more than expected came
	// at once, lately.
	lumpAt    time.Duration
	lump      int
	extra     [2]int
	extraAt   int
	extraLeft int

	roundLost, roundAcked int
}

const (
	modeStart = iota
	modeDrain
	modeCruise
	modeProbeRTT
)

const (
	highGain     = 2.89
	initialCwnd  = 10 * maxMTU
	minCwnd      = 4 * maxMTU
	initialRate  = 10 * maxMTU * 1000 // a window per millisecond
	minRate      = 8 << 10            // a path that has stalled is tried again
	maxRate      = 100e9
	rateSpan     = 10 * time.Millisecond
	minRTTWindow = 30 * time.Second
	probeRTTTime = 200 * time.Millisecond
	// muchLost is what chance is not blamed for.
	muchLost = 20 * maxMTU
	// shortRTT is the least round trip time that is reckoned with: below it
	// schedulers and timers matter more than the path.
	shortRTT = 2 * time.Millisecond
)

var phaseGains = [...]float64{1.25, 0.75, 1, 1, 1, 1, 1, 1}

func (b *bbr) init(seed uint32) {
	delivered := b.meter.total
	*b = bbr{}
	b.meter.total = delivered
	b.nextRound = delivered
	b.cwnd = initialCwnd
	b.rate = initialRate * highGain
	b.pacingGain, b.cwndGain = highGain, highGain
	b.phase = int(seed % uint32(len(phaseGains)))
	b.sample.reset()
}

// acknowledged brings the model up to date after some packets were delivered.
func (b *bbr) acknowledged(now time.Duration, inflight int) {
	s := &b.sample
	b.roundStart = s.acked > 0 && s.prior.delivered >= b.nextRound
	if b.roundStart {
		b.nextRound = b.total
	}
	first := b.minRTT == 0
	b.updateRate(now)
	b.updateExtra(now)
	b.updatePhase(now, inflight)
	b.checkFull()
	b.updateMinRTT(now, inflight)
	if first && b.minRTT > 0 && b.maxRate == 0 {
		b.rate = highGain * float64(b.cwnd) / b.minRTT.Seconds()
	}
	if rate := b.pacingGain * b.maxRate; rate > 0 && (b.filled || rate > b.rate) {
		b.rate = rate
	}
	b.rate = min(max(b.rate, minRate), maxRate)
	b.updateCwnd()
	if b.roundStart {
		b.roundLost, b.roundAcked = 0, 0
	}
	s.reset()
}

func (b *bbr) updateRate(now time.Duration) {
	s := &b.sample
	b.roundAcked += s.acked
	rate := s.rate()
	if rate <= 0 || s.prior.appLimited && rate < b.maxRate {
		return
	}
	if b.roundStart && now-b.rateNew >= rateSpan {
		b.rateNew = now
		b.rateAt = (b.rateAt + 1) % len(b.rates)
		b.rates[b.rateAt] = 0
	}
	b.rates[b.rateAt] = max(b.rates[b.rateAt], rate)
	b.maxRate = 0
	for _, r := range b.rates {
		b.maxRate = max(b.maxRate, r)
	}
}

// updateExtra measures how lumpy acknowledgements are.
func (b *bbr) updateExtra(now time.Duration) {
	if b.roundStart {
		if b.extraLeft--; b.extraLeft <= 0 {
			b.extraLeft = 5
			b.extraAt = 1 - b.extraAt
			b.extra[b.extraAt] = 0
		}
	}
	expected := int(b.maxRate * (now - b.lumpAt).Seconds())
	if b.lump <= expected {
		b.lumpAt, b.lump, expected = now, 0, 0
	}
	b.lump += b.sample.acked
	extra := min(b.lump-expected, b.cwnd, int(b.maxRate/10))
	b.extra[b.extraAt] = max(b.extra[b.extraAt], extra)
}

// bdp is the amount of data that fills the path gain times.
func (b *bbr) bdp(gain float64) int {
	if b.minRTT == 0 || b.maxRate == 0 {
		return initialCwnd
	}
	return int(gain * b.maxRate * max(b.minRTT, shortRTT).Seconds())
}

func (b *bbr) updatePhase(now time.Duration, inflight int) {
	if b.mode != modeCruise {
		return
	}
	long := now-b.phaseAt > max(b.minRTT, shortRTT)
	next := long
	switch gain := phaseGains[b.phase]; {
	case gain > 1:
		next = long && (b.roundLost > 0 || inflight >= b.bdp(gain) || b.sample.prior.appLimited)
	case gain < 1:
		next = long || inflight <= b.bdp(1)
	}
	if next {
		b.phase = (b.phase + 1) % len(phaseGains)
		b.phaseAt = now
		b.pacingGain = phaseGains[b.phase]
	}
}

// checkFull ends the start once the rate has not grown for three rounds, or much
// is lost.
func (b *bbr) checkFull() {
	if b.filled || !b.roundStart || b.sample.prior.appLimited {
		return
	}
	if b.maxRate >= 1.25*b.full {
		b.full, b.fullCount = b.maxRate, 0
		return
	}
	b.fullCount++
	b.filled = b.fullCount >= 3 || b.roundLost > max(muchLost, (b.roundLost+b.roundAcked)/5)
}

func (b *bbr) updateMinRTT(now time.Duration, inflight int) {
	s := &b.sample
	expired := b.minRTT > 0 && now > b.minRTTAt+minRTTWindow
	if s.hasRTT && (b.minRTT == 0 || s.rtt <= b.minRTT || expired) {
		b.minRTT, b.minRTTAt = max(s.rtt, 1), now
	}
	if b.mode == modeStart && b.filled {
		b.mode = modeDrain
		b.pacingGain, b.cwndGain = 1/highGain, highGain
	}
	if b.mode == modeDrain && inflight <= b.bdp(1) {
		b.cruise(now)
	}
	if expired && b.mode != modeProbeRTT {
		b.mode = modeProbeRTT
		b.pacingGain, b.cwndGain = 1, 0.5
		b.probeDone = 0
	}
	if b.mode == modeProbeRTT {
		if b.probeDone == 0 && inflight <= max(b.bdp(0.5), minCwnd) {
			b.probeDone = now + probeRTTTime
		}
		if b.probeDone != 0 && now >= b.probeDone {
			b.minRTTAt = now
			if b.filled {
				b.cruise(now)
			} else {
				b.mode = modeStart
				b.pacingGain, b.cwndGain = highGain, highGain
			}
		}
	}
}

func (b *bbr) cruise(now time.Duration) {
	b.mode = modeCruise
	b.cwndGain = 2
	if phaseGains[b.phase] < 1 {
		b.phase++ // the queue has just been drained
	}
	b.phaseAt = now
	b.pacingGain = phaseGains[b.phase]
}

func (b *bbr) updateCwnd() {
	acked := b.sample.acked
	if b.mode == modeProbeRTT {
		b.cwnd = max(min(b.cwnd, b.bdp(0.5)), minCwnd)
		return
	}
	target := b.bdp(b.cwndGain) + max(b.extra[0], b.extra[1]) + 3*b.quantum()
	switch {
	case b.filled:
		b.cwnd = min(b.cwnd+acked, target)
	case b.cwnd < target || b.total < initialCwnd:
		b.cwnd += acked
	}
	b.cwnd = max(b.cwnd, minCwnd)
}

// quantum is how much is sent in one go.
func (b *bbr) quantum() int { return quantum(b.rate) }

func (b *bbr) lost(size int) { b.roundLost += size }

// timeout is called when nothing arrives any more.
func (b *bbr) timeout() { b.cwnd = minCwnd }
