package hyperswarm

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Priorities of peers in the queue, by the number of connections and attempts
// that ended.
const (
	veryLow = iota
	low
	normal
	high
	veryHigh
	priorities
)

const (
	// lastingTime is how long a connection must last to forget earlier failures.
	lastingTime = 15 * time.Second
	// lastAttempt is the number of ends after which a peer is given up.
	lastAttempt = 3
	// lastExplicit is the same for peers of JoinPeer, beside their slow retries.
	lastExplicit = 4
	// soonExplicit is how many of these come after a minute: a server that starts again,
	// or was just set up, is missed for no longer.
	soonExplicit = 10
)

// peer is what a swarm remembers of a key. All of it is guarded by Swarm.mu.
type peer struct {
	key    hypercrypto.PublicKey
	relays []netip.AddrPort // DHT nodes that know the way
	topics map[Topic]struct{}

	attempts int // ends of connections and attempts since the last lasting one
	slow     int // retries since then of a peer of JoinPeer that would be given up
	proven   bool
	dialed   bool // the last connection was ours
	explicit bool // JoinPeer
	banned   bool
	relay    bool // the next attempt needs a relay

	connected, ended time.Time // the last connection; zero if there was none

	queued   bool
	priority int
	index    int // in its class of the queue
	retry    *time.Timer
}

func (p *peer) opened(now time.Time) { p.proven, p.dialed, p.connected = true, true, now }

// closed counts the end of a connection or attempt of ours.
func (p *peer) closed(now time.Time) {
	p.ended = now
	if !p.connected.IsZero() && now.Sub(p.connected) >= lastingTime {
		p.attempts, p.slow = 0, 0
	}
	p.connected = time.Time{}
	p.attempts++
}

// forget makes the peer as good as new.
func (p *peer) forget() { p.dialed, p.proven, p.attempts, p.slow = false, false, 0, 0 }

// eligible tells whether the peer may be queued, and sets its priority.
func (p *peer) eligible() bool {
	if p.explicit && p.attempts > lastAttempt {
		p.attempts = lastAttempt
	}
	if p.banned || p.queued || p.attempts > lastAttempt {
		return false
	}
	p.priority = [...]int{normal, veryHigh, high, low}[p.attempts]
	return true
}

// stranger tells whether the peer was only ever heard of.
func (p *peer) stranger() bool { return !p.proven && !p.explicit && !p.banned }

// disposable tells whether nothing is lost when the peer is forgotten.
func (p *peer) disposable() bool {
	return !p.banned && !p.queued && !p.explicit && p.retry == nil
}

// pauses are the times to wait before another attempt. They differ from swarm to
// swarm, so that many that lost the same peer do not come back together.
type pauses struct{ short, medium, long, minute, veryLong time.Duration }

func newPauses() pauses {
	between := func(from, to time.Duration) time.Duration { return from + rand.N(to-from) }
	return pauses{
		short:    between(1000*time.Millisecond, 2000*time.Millisecond),
		medium:   between(5000*time.Millisecond, 6500*time.Millisecond),
		long:     between(15*time.Second, 17500*time.Millisecond),
		minute:   between(time.Minute, 80*time.Second),
		veryLong: between(10*time.Minute, 12*time.Minute),
	}
}

// after returns how long to wait before the peer is tried again; ok is false if
// it is given up until it is found again.
func (t *pauses) after(p *peer) (d time.Duration, ok bool) {
	switch {
	case p.banned:
		return 0, false
	case p.attempts > lastAttempt:
		d, ok = t.veryLong, p.explicit
		if p.slow < soonExplicit {
			d = t.minute
		}
		p.slow++
	case p.attempts == 0:
		d, ok = t.short, true
	case p.proven:
		d, ok = [...]time.Duration{t.short, t.medium, t.long}[p.attempts-1], true
	default:
		d, ok = [...]time.Duration{t.medium, t.long, t.long}[p.attempts-1], true
	}
	// Between 0.66 and 1.32 of it.
	return d*66/100 + rand.N(d*66/100), ok
}
