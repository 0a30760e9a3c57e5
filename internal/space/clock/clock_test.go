package clock

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Clocks of machines that differ by less than the drift give times that agree with
// cause and effect and stay near the machines' own.
func TestTimesFollowCauses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clocks := make([]Clock, rapid.IntRange(1, 4).Draw(t, "clocks"))
		seen := make([]Time, len(clocks))
		start := Of(time.Now())
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, len(clocks)-1).Draw(t, "clock")
			if rapid.Bool().Draw(t, "hear") {
				from := rapid.IntRange(0, len(clocks)-1).Draw(t, "from")
				if !clocks[i].Observe(seen[from]) {
					t.Fatal("a time of an honest clock is too far ahead")
				}
				seen[i] = max(seen[i], seen[from])
				continue
			}
			now := clocks[i].Now()
			if now <= seen[i] || now < start || now > End(time.Now().Add(MaxDrift)) {
				t.Fatalf("%v after %v", now, seen[i])
			}
			seen[i] = now
		}
	})
}

func TestAClockFarAheadMovesNoOther(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ahead := time.Duration(rapid.Int64Range(0, int64(100*365*24*time.Hour)).Draw(r, "ahead"))
		synctest.Test(t, func(t *testing.T) {
			var c Clock
			took := c.Observe(Of(time.Now().Add(ahead)))
			if want := ahead < MaxDrift+time.Millisecond; took != want {
				t.Fatalf("%v ahead is taken: %v", ahead, took)
			}
			if now := c.Now(); time.Until(now.Time()) > MaxDrift+time.Millisecond {
				t.Fatalf("the clock is at %v", now.Time())
			}
			if c.Observe(^Time(0)) {
				t.Error("the last of all times is taken")
			}
		})
	})
}

func TestAClockRunsOnWhenTheMachinesIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		c.Observe(Of(time.Now().Add(MaxDrift)))
		before := c.Now()
		for range 1 << 17 { // more than the counter holds
			now := c.Now()
			if now <= before {
				t.Fatalf("%v after %v", now, before)
			}
			before = now
		}
	})
}

func TestATimeIsItsMillisecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<48-1).Draw(t, "ms")).UTC()
		if Of(at).Time() != at || End(at).Time() != at || Of(at) >= End(at) {
			t.Fatalf("%v becomes %v", at, Of(at).Time())
		}
	})
	if got := Of(time.Unix(-5, 0)); got != 0 {
		t.Errorf("a time before 1970 is %v", got)
	}
	if !Of(time.UnixMilli(0)).IsZero() || Time(1).IsZero() {
		t.Error("zero")
	}
}
