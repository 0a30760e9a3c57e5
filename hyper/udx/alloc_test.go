//go:build !race

package udx_test

import (
	"io"
	"testing"
)

// fewest returns the fewest allocations per run of f that a few measurements find,
// the first that finds no more than enough.
func fewest(enough float64, runs int, f func()) float64 {
	n := testing.AllocsPerRun(runs, f)
	for range 5 {
		if n <= enough {
			break
		}
		n = min(n, testing.AllocsPerRun(runs, f))
	}
	return n
}

func TestPacketsCostNoAllocation(t *testing.T) {
	x, y := pair(t, nil)
	const size = 1 << 20
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			if _, err := y.Read(buf); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, size)
	for range 64 { // fills pools
		x.Write(buf)
	}
	// A MiB is about 720 packets each way. More packets may be under way than ever
	// before, and a garbage collection empties pools: neither happens all the time.
	n := fewest(20, 50, func() {
		if _, err := x.Write(buf); err != nil {
			t.Error(err)
		}
	})
	if n > 20 {
		t.Errorf("%.0f allocations per MiB", n)
	}
	x.CloseWrite()
	<-done
}

func TestSmallWritesAndMessagesCostNoAllocation(t *testing.T) {
	x, y := pair(t, nil)
	buf := make([]byte, 100)
	echo := make([]byte, 100)
	n := fewest(0, 2000, func() {
		if _, err := x.Write(buf); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(y, echo); err != nil {
			t.Error(err)
		}
		if err := x.SendMessage(buf); err != nil {
			t.Error(err)
		}
	})
	if n >= 1 {
		t.Errorf("%.2f allocations per write", n)
	}
}
