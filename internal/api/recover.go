package api

import (
	"context"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
)

// SpaceLinkRequest asks for the link of a space, a secret with which who has it can read the
// space. The answer is a [SpaceLink].
type SpaceLinkRequest struct {
	Space string `json:"space"`
}

// SpaceLink is the link of a space. It is a secret.
type SpaceLink struct {
	Type string `json:"type"`
	Link string `json:"link"`
}

// TypeSpaceLink is the event of [SpaceLink].
const TypeSpaceLink = "space-link"

// OpenSpaceRequest opens a space by its link, without an invite. If the person on this
// device is a member the device becomes one. The answer is a [Space].
type OpenSpaceRequest struct {
	Link string `json:"link"`
	// Name is what the space is called here; empty is as where the link was made.
	Name string `json:"name,omitempty"`
	// Home says that it is the space of all devices of the person.
	Home bool `json:"home,omitempty"`
}

// RecoverSpaceRequest makes this device the one that confirms a space, by the phrase of an
// owner, when those that did are gone for good. First it takes in what peers and mirrors
// have. The answer is a [Space].
type RecoverSpaceRequest struct {
	Connect
	Space  string `json:"space"`
	Phrase string `json:"phrase"`
	// Lost are devices of the person that do not come back, by name or the key of their logs: they are
	// removed.
	Lost []string `json:"lost,omitempty"`
}

func (h *handler) spaceLink(_ context.Context, r SpaceLinkRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	return s.Send(TypeSpaceLink, SpaceLink{TypeSpaceLink, sp.Link()})
}

func (h *handler) openSpace(ctx context.Context, r OpenSpaceRequest, s *Stream) error {
	sp, err := h.Spaces.OpenLink(ctx, r.Link, r.Name, r.Home)
	if err != nil {
		return err
	}
	return sendSpace(ctx, sp, s)
}

// recoverQuiet is how long nothing new has to arrive before a space counts as arrived.
const recoverQuiet = 5 * time.Second

func (h *handler) recoverSpace(ctx context.Context, r RecoverSpaceRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	phrase, err := parsePhrase(r.Phrase)
	if err != nil {
		return err
	}
	leave, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer leave()
	if r.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Patience)
		defer cancel()
	}
	for quiet := false; !quiet; {
		changed := sp.Changed()
		timer := time.NewTimer(recoverQuiet)
		select {
		case <-changed:
		case <-timer.C:
			quiet = true
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
	keys := phrase.Keys()
	if err := sp.Unlock(ctx, keys); err != nil {
		return err
	}
	devices, err := sp.Devices(ctx)
	if err != nil {
		return err
	}
	devices = slices.DeleteFunc(devices, func(d space.Device) bool { return d.Removed || d.Self || d.Person != keys.Identity.Public })
	var lost []hypercrypto.Key
	for _, ref := range r.Lost {
		log, err := find(devices, ref, "other device of yours", sp.Name(), func(d space.Device) (string, string, hypercrypto.Key) { return d.Log.Hex(), d.Name, d.Log })
		if err != nil {
			return err
		}
		lost = append(lost, log)
	}
	if err := sp.Recover(ctx, keys, lost); err != nil {
		return err
	}
	return sendSpace(ctx, sp, s)
}
