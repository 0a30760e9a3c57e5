package api

import (
	"context"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/internal/handoff"
	"github.com/tradle/cloudpal/internal/invite"
)

// isCode tells a spoken code, with or without typing errors, from an invite and a
// link: only a code begins with a digit.
func IsCode(ref string) bool { return ref != "" && ref[0] >= '0' && ref[0] <= '9' }

// CheckInvite tells whether a code or an invite can be right, without asking anybody.
func CheckInvite(ref string) error {
	if IsCode(ref) {
		return handoff.CheckCode(ref)
	}
	_, err := invite.Parse(ref)
	return err
}

// tellInvite shows a code and tells the invite to who types it in.
func (h *handler) tellInvite(ctx context.Context, c Connect, i *blindpairing.Invite, s *Stream) error {
	m := Meeting{LAN: c.LAN, Swarm: c.Swarm}
	opts, _ := h.meeting(&m, "invite", s)
	way, leave := h.rendezvous(&m, s)
	defer leave()
	_, err := invite.Tell(ctx, way, opts, i)
	return err
}

// hearInvite takes the invite from the side that shows the code.
func (h *handler) hearInvite(ctx context.Context, c Connect, code string, s *Stream) (*blindpairing.Invite, error) {
	m := Meeting{Code: code, LAN: c.LAN, Swarm: c.Swarm, Patience: c.Patience}
	opts, _ := h.meeting(&m, "join", s)
	way, leave := h.rendezvous(&m, s)
	defer leave()
	i, _, err := invite.Hear(ctx, way, opts)
	return i, err
}
