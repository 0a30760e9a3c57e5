package invite

import (
	"context"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/internal/handoff"
)

// Tell gives an invite to somebody by a spoken code, over whatever connects the two.
// It returns the name of the other side when that has the invite.
func Tell(ctx context.Context, rv handoff.Rendezvous, opts handoff.Options, i *blindpairing.Invite) (device string, err error) {
	return handoff.Tell(ctx, rv, opts, Link(i))
}

// Hear takes an invite from somebody by a spoken code.
func Hear(ctx context.Context, rv handoff.Rendezvous, opts handoff.Options) (i *blindpairing.Invite, device string, err error) {
	text, device, err := handoff.Hear(ctx, rv, opts)
	if err != nil {
		return nil, "", err
	}
	i, err = Parse(text)
	return i, device, err
}
