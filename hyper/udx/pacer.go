package udx

import "time"

// pacer spreads packets over time. After a pause a little more than a quantum
// may go at once, because timers are late.
type pacer struct {
	next time.Duration // when the next packet is due
}

const (
	maxQuantum = 64 << 10
	minQuantum = 2 * maxMTU
	// lateness is how much of the time that has passed may be caught up.
	lateness = 2 * time.Millisecond
)

// quantum is how many bytes to send in one go at a rate in bytes per second.
func quantum(rate float64) int {
	return int(min(max(rate/1000, minQuantum), maxQuantum))
}

// burst is leave to send until an instant of the pacer.
type burst struct{ until time.Duration }

// begin returns the leave to send now, which may be none.
func (p *pacer) begin(now time.Duration, rate float64) burst {
	if p.next > now {
		return burst{-1}
	}
	p.next = max(p.next, now-lateness)
	return burst{now + duration(quantum(rate), rate)}
}

func (b burst) lets(p *pacer) bool { return b.until >= 0 && p.next < b.until }

func (p *pacer) sent(size int, rate float64, now time.Duration) {
	p.next = max(p.next, now-lateness) + duration(size, rate)
}

// duration is the time that size bytes take.
func duration(size int, rate float64) time.Duration {
	return time.Duration(float64(size) / rate * float64(time.Second))
}
