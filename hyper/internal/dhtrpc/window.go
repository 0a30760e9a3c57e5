package dhtrpc

import "time"

// window bounds the requests that are sent and not answered: so many per slot of
// time, twice as many in all slots. What is not answered leaves with its slot.
type window struct {
	slots [4]int
	slot  int64 // number of the current slot
	total int
	since time.Time // start of the current slot
}

const (
	windowSlot = 750 * time.Millisecond
	windowSize = 80
)

func (w *window) at(slot int64) *int { return &w.slots[slot%int64(len(w.slots))] }

func (w *window) turn(now time.Time) {
	if w.since.IsZero() {
		w.since = now
	}
	for n := 0; now.Sub(w.since) >= windowSlot; n++ {
		if n == len(w.slots) {
			w.since = now
			return
		}
		w.since = w.since.Add(windowSlot)
		w.slot++
		w.total -= *w.at(w.slot)
		*w.at(w.slot) = 0
	}
}

func (w *window) full(now time.Time) bool {
	w.turn(now)
	return w.total >= 2*windowSize || *w.at(w.slot) >= windowSize
}

// sent takes a place and returns the slot it is in.
func (w *window) sent(now time.Time) int64 {
	w.turn(now)
	*w.at(w.slot)++
	w.total++
	return w.slot
}

// answered frees a place that was taken in a slot.
func (w *window) answered(now time.Time, slot int64) {
	w.turn(now)
	if w.slot-slot < int64(len(w.slots)) && *w.at(slot) > 0 {
		*w.at(slot)--
		w.total--
	}
}

// next returns how long the current slot lasts from now.
func (w *window) next(now time.Time) time.Duration { return max(w.since.Add(windowSlot).Sub(now), 0) }
