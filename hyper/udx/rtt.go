package udx

import "time"

const (
	initialTimeout = time.Second
	minTimeout     = time.Second
	maxTimeout     = 30 * time.Second

	// maxSample is the round trip time above which an outlier is not believed:
	// the machine may have been asleep.
	maxSample = 5 * time.Second
)

// rtt estimates the round trip time as RFC 6298 does.
type rtt struct {
	smoothed, variation time.Duration
}

func (r *rtt) sample(d time.Duration) {
	if r.smoothed == 0 {
		r.smoothed, r.variation = max(d, 1), d/2
		return
	}
	if top := r.smoothed + 5*r.variation; d > maxSample && d > top {
		d = top
	}
	delta := r.smoothed - d
	if delta < 0 {
		delta = -delta
	}
	r.variation += (delta - r.variation) / 4
	r.smoothed += (d - r.smoothed) / 8
}

// timeout is how long to wait for an acknowledgement.
func (r *rtt) timeout() time.Duration {
	if r.smoothed == 0 {
		return initialTimeout
	}
	return min(max(r.smoothed+4*r.variation, minTimeout), maxTimeout)
}

// probeTimeout is how long to wait before the last packet is sent again to
// provoke an acknowledgement.
func (r *rtt) probeTimeout() time.Duration {
	if r.smoothed == 0 {
		return initialTimeout
	}
	// The other side acknowledges at once, but a scheduler may sit in between.
	return min(2*r.smoothed+5*time.Millisecond, r.timeout())
}
