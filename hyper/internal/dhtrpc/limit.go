package dhtrpc

import (
	"net/netip"
	"time"
)

// limiter bounds the requests per address with one token bucket each. When too
// many addresses are known the oldest buckets are forgotten, which is the same
// as full ones.
type limiter struct {
	rate  float64 // per second
	young map[netip.Addr]bucket
	old   map[netip.Addr]bucket
}

type bucket struct {
	level float64
	at    time.Time
}

const (
	limiterBurst = 3 // seconds
	limiterSize  = 8192
)

func newLimiter(perSecond int) limiter {
	return limiter{rate: float64(perSecond), young: make(map[netip.Addr]bucket)}
}

func (l *limiter) allow(now time.Time, addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	b, ok := l.young[addr]
	if !ok {
		if b, ok = l.old[addr]; !ok {
			b = bucket{level: limiterBurst * l.rate, at: now}
		}
		if len(l.young) >= limiterSize {
			l.old, l.young = l.young, make(map[netip.Addr]bucket)
		}
	}
	b.level = min(limiterBurst*l.rate, b.level+now.Sub(b.at).Seconds()*l.rate)
	b.at = now
	ok = b.level >= 1
	if ok {
		b.level--
	}
	l.young[addr] = b
	return ok
}
