package invite

import (
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/internal/link"
)

// Link returns the link of an invite. It is a secret.
func Link(i *blindpairing.Invite) string { return link.Format(link.Invite, i.AppendTo(nil)) }

// Parse reads a link, or an invite in z-base-32 without a link around it. The error
// is of kind Usage.
func Parse(text string) (*blindpairing.Invite, error) {
	b, err := link.Parse(link.Invite, text)
	if err != nil {
		return nil, err
	}
	i, err := blindpairing.DecodeInvite(b)
	if err != nil {
		return nil, link.Damaged(link.Invite, err)
	}
	return i, nil
}
