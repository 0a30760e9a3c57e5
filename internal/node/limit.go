package node

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// bandwidth is what all connections of a node share, whatever they run over.
type bandwidth struct {
	up, down throttle
	now      api.Limits // guarded by Node.mu
	carried  carried
}

func newBandwidth(l api.Limits) *bandwidth {
	n := &bandwidth{up: throttle{bucket: rate.NewLimiter(rate.Inf, 0)}, down: throttle{bucket: rate.NewLimiter(rate.Inf, 0)}}
	n.set(l)
	return n
}

// set changes the limits, for open connections too.
func (l *bandwidth) set(to api.Limits) {
	l.now = to
	l.up.set(to.Up)
	l.down.set(to.Down)
}

// minLimit is the least limit in bytes per second: with less, connections that must
// show that they live would not.
const minLimit = 10_000

func checkLimits(l api.Limits) error {
	for _, n := range []uint64{l.Up, l.Down} {
		if n > 0 && n < minLimit {
			return fault.New(fault.Usage, "a limit of %d bytes per second is too low", n).Hint("the least is 10kB; none is no limit")
		}
	}
	return nil
}

// throttle is a token bucket for one direction. It implements [secretstream.Throttle].
type throttle struct {
	bucket *rate.Limiter
	step   atomic.Int64
}

// set changes the rate, in bytes per second; 0 is no limit. An eighth of a second may
// pass at once, but at least what fits into a packet of a stream, and a step is a
// quarter of that, so that several connections take turns.
func (t *throttle) set(bytesPerSecond uint64) {
	if bytesPerSecond == 0 {
		t.step.Store(0)
		t.bucket.SetLimit(rate.Inf) // for those that wait
		return
	}
	burst := int64(min(max(bytesPerSecond/8, 4*minStep), 4*maxStep))
	t.bucket.SetBurst(int(burst))
	t.bucket.SetLimit(rate.Limit(bytesPerSecond))
	t.step.Store(burst / 4)
}

const (
	minStep = 1 << 10
	maxStep = 64 << 10
)

// Step implements [secretstream.Throttle].
func (t *throttle) Step() int { return int(t.step.Load()) }

// Wait implements [secretstream.Throttle].
func (t *throttle) Wait(n int, closed <-chan struct{}) {
	for n > 0 {
		// The limits may have been lowered since the step was asked for.
		part := n
		if step := t.Step(); step > 0 {
			part = min(n, step)
		}
		r := t.bucket.ReserveN(time.Now(), part)
		if !r.OK() {
			continue // between two settings
		}
		if d := r.Delay(); d > 0 && !sleep(d, closed) {
			r.Cancel()
			return
		}
		n -= part
	}
}

// sleep waits and tells whether to go on.
func sleep(d time.Duration, closed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-closed:
		return false
	}
}
