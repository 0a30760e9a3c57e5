package hyperswarm

import "time"

// budget limits how often strangers are dialed: a bucket of tokens that fills up
// with time.
type budget struct {
	tokens int
	last   time.Time // when tokens was last brought up to date
}

// refill adds what has come together, and returns when the next token comes.
func (b *budget) refill(now time.Time) (next time.Duration) {
	if b.last.IsZero() || b.tokens >= strangerBurst {
		b.last = now
	}
	if n := int(now.Sub(b.last) / strangerPause); n > 0 {
		b.tokens = min(b.tokens+n, strangerBurst)
		b.last = b.last.Add(time.Duration(n) * strangerPause)
	}
	return b.last.Add(strangerPause).Sub(now)
}
