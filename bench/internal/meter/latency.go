package meter

import (
	"slices"
	"time"
)

// Latencies collects how long single operations took.
type Latencies []time.Duration

// Percentile returns the latency, in milliseconds, that a fraction p of all
// operations did not exceed; 0 if there were none. It sorts l.
func (l Latencies) Percentile(p float64) float64 {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return Ms(l[min(len(l)-1, int(float64(len(l))*p))])
}

// Sum returns the time all operations took together.
func (l Latencies) Sum() (sum time.Duration) {
	for _, d := range l {
		sum += d
	}
	return sum
}

// Ms is d in milliseconds.
func Ms(d time.Duration) float64 { return float64(d) / 1e6 }
