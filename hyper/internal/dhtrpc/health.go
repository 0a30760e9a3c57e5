package dhtrpc

// health tells from the outcomes of requests whether the network is there.
type health struct {
	ok, bad  int    // in this tick
	history  [4]int // share of answers in percent in the last ticks with enough outcomes, newest first
	n        int
	offline  bool
	degraded bool
}

const healthMinimum = 4

func (h *health) answered() { h.ok++; h.offline = false }
func (h *health) failed()   { h.bad++ }

// turn ends a tick and tells whether the judgement changed.
func (h *health) turn() bool {
	was := *h
	if total := h.ok + h.bad; total >= healthMinimum {
		copy(h.history[1:], h.history[:])
		h.history[0] = 100 * h.ok / total
		h.n = min(h.n+1, len(h.history))
		h.offline = h.n >= 2 && h.history[0] == 0 && h.history[1] == 0
		h.degraded = h.n == len(h.history)
		for _, share := range h.history {
			h.degraded = h.degraded && share < 50
		}
	}
	h.ok, h.bad = 0, 0
	return was.offline != h.offline || was.degraded != h.degraded
}
