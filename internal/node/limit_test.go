package node

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/api"
)

var _ secretstream.Throttle = (*throttle)(nil)

// take moves bytes through a throttle as a connection does.
func take(t *throttle, bytes int, closed <-chan struct{}) {
	for bytes > 0 {
		n := bytes
		if step := t.Step(); step > 0 {
			n = min(n, step)
		}
		t.Wait(n, closed)
		bytes -= n
	}
}

// Whatever the limit and however many connections share it, bytes take the time that
// the limit says, but for what may pass at once.
func TestLimitsAreKept(t *testing.T) {
	for _, limit := range []uint64{minLimit, 123_456, 5_000_000, 1_000_000_000} {
		for _, connections := range []int{1, 7} {
			synctest.Test(t, func(t *testing.T) {
				l := newBandwidth(api.Limits{Up: limit})
				began := time.Now()
				var wg sync.WaitGroup
				for range connections {
					wg.Go(func() { take(&l.up, int(limit)*10/connections, nil) })
				}
				wg.Wait()
				if took := time.Since(began); took < 9*time.Second || took > 10*time.Second {
					t.Errorf("10 seconds' worth at %d by %d took %v", limit, connections, took)
				}
				began = time.Now()
				take(&l.down, 1<<30, nil)
				if took := time.Since(began); took > 0 {
					t.Errorf("without a limit: %v", took)
				}
			})
		}
	}
}

// No connection gets more than its share while others want something.
func TestConnectionsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBandwidth(api.Limits{Down: 100_000})
		var wg sync.WaitGroup
		var ended [4]time.Duration
		began := time.Now()
		for i := range ended {
			wg.Go(func() {
				take(&l.down, 250_000, nil)
				ended[i] = time.Since(began)
			})
		}
		wg.Wait()
		for _, d := range ended {
			if d < 9*time.Second {
				t.Errorf("they ended after %v", ended)
			}
		}
	})
}

func TestLimitsChangeWhileBytesFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBandwidth(api.Limits{Up: 1_000_000})
		began := time.Now()
		done := make(chan struct{})
		go func() { defer close(done); take(&l.up, 20_000_000, nil) }()
		time.Sleep(5 * time.Second)
		l.set(api.Limits{Up: 3_000_000})
		<-done
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("5 s slowly and 5 s fast took %v", took)
		}
		lifted := make(chan struct{})
		go func() { defer close(lifted); time.Sleep(time.Second); l.set(api.Limits{}) }()
		began = time.Now()
		take(&l.up, 1<<30, nil)
		<-lifted
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a limit that was lifted held for %v", took)
		}
		l.set(api.Limits{Up: 5_000_000})
		lowered := make(chan struct{})
		go func() { defer close(lowered); time.Sleep(time.Second); l.set(api.Limits{Up: minLimit}) }()
		take(&l.up, 5_500_000, nil)
		<-lowered
	})
}

func TestWhoClosesDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBandwidth(api.Limits{Up: minLimit})
		closed := make(chan struct{})
		began := time.Now()
		done := make(chan struct{})
		go func() { defer close(done); l.up.Wait(1_000_000, closed) }()
		time.Sleep(time.Second)
		close(closed)
		<-done
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %v", took)
		}
	})
}
