package clock

import (
	"sync"
	"time"
)

// MaxDrift is how far ahead of the own clock a time of another device may be and
// still be followed.
const MaxDrift = 5 * time.Minute

// Time is milliseconds since 1970 in the upper 48 bits and a counter in the lower 16.
// Times compare as numbers. The zero Time is no time.
type Time uint64

// counterBits is how many bits of a Time count within a millisecond.
const counterBits = 16

// Of returns the first Time of a millisecond. Times before 1970 are those of 1970.
func Of(t time.Time) Time {
	return Time(min(uint64(max(0, t.UnixMilli())), 1<<48-1) << counterBits)
}

// End returns the last Time of the millisecond of t.
func End(t time.Time) Time { return Of(t) | (1<<counterBits - 1) }

// Time returns the millisecond, in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t >> counterBits)).UTC() }

// IsZero tells whether t is no time.
func (t Time) IsZero() bool { return t == 0 }

// Clock gives times. The zero value is ready to use; it is safe for concurrent use.
type Clock struct {
	mu   sync.Mutex // guards last
	last Time
}

// Now returns a time that is later than all before.
func (c *Clock) Now() Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last+1, Of(time.Now()))
	return c.last
}

// Observe makes times that come later than t, unless t is too far ahead, and tells
// which.
func (c *Clock) Observe(t Time) bool {
	if t > End(time.Now().Add(MaxDrift)) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, t)
	return true
}
