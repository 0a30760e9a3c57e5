package dhtrelay

import (
	"context"
	"sync"
	"time"
)

// bucket says how long a client that asks too often has to wait.
type bucket struct {
	rate, burst float64

	mu    sync.Mutex // guards the rest
	level float64    // requests left; negative: owed
	at    time.Time
}

func newBucket(rate float64, burst int) *bucket {
	return &bucket{rate: rate, burst: float64(burst), level: float64(burst), at: time.Now()}
}

// take counts a request. It never refuses: who pays is asked with debt.
func (b *bucket) take() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	b.level--
}

// debt returns the time until requests are welcome again.
func (b *bucket) debt() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / b.rate * float64(time.Second))
}

// refill is called with mu held.
func (b *bucket) refill() {
	now := time.Now()
	b.level = min(b.burst, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// signal wakes everybody who waits for a change. The zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed at the next broadcast. Take it before
// looking at what may change.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// sleep waits for d; it returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
