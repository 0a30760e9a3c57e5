package api

import "context"

// Limits are the greatest rates of all connections together, in bytes per second; 0
// is no limit. What the DHT and the local link need to find peers does not count.
type Limits struct {
	Up   uint64 `json:"up"`
	Down uint64 `json:"down"`
}

// LimitsRequest changes the limits, now and for nodes to come. The answer is a
// [LimitsNow] event.
type LimitsRequest struct {
	// Up and Down leave as it is what they do not name.
	Up   *uint64 `json:"up,omitempty"`
	Down *uint64 `json:"down,omitempty"`
}

// TypeLimits is the event of [LimitsNow].
const TypeLimits = "limits"

// LimitsNow are the limits in force.
type LimitsNow struct {
	Type string `json:"type"`
	Limits
}

func (h *handler) limits(_ context.Context, r LimitsRequest, s *Stream) error {
	now, err := h.Limits(nil)
	if err == nil && (r.Up != nil || r.Down != nil) {
		if r.Up != nil {
			now.Up = *r.Up
		}
		if r.Down != nil {
			now.Down = *r.Down
		}
		now, err = h.Limits(&now)
	}
	if err != nil {
		return err
	}
	return s.Send(TypeLimits, LimitsNow{TypeLimits, now})
}
