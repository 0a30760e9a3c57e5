package api

import (
	"context"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
)

// Swarm asks to find peers, and to be found, through the DHT. A node joins one
// DHT in one way, as the first request says; a later request that asks for
// another is [fault.Conflict].
type Swarm struct {
	// Bootstrap are the HOST:PORT of nodes to begin with. Empty means those in
	// use, and by default the public ones.
	Bootstrap []string `json:"bootstrap,omitempty"`
	// Relays are the public keys of relays for where no direct path can be
	// found.
	Relays []string `json:"relays,omitempty"`
	// RelayOnly connects through Relays only, never directly.
	RelayOnly bool `json:"relayOnly,omitempty"`
}

// LAN asks to find peers, and to be found, on the local link, without any DHT.
// It has no effect on a node that connects through relays only.
type LAN struct {
	// Interfaces names the network interfaces to use; empty is all.
	Interfaces []string `json:"interfaces,omitempty"`
}

// Room is a topic at which peers meet.
type Room struct {
	Topic hypercrypto.DiscoveryKey
	// Announce makes this node findable there.
	Announce bool
}

// meet adds the topics of drives.
func (c Connect) meet(announce bool, drives ...hypercrypto.Key) Connect {
	c.Rooms = slices.Clone(c.Rooms)
	for _, key := range drives {
		c.Rooms = append(c.Rooms, Room{key.Discovery(), announce})
	}
	return c
}

// served returns the keys of the drives that a ServeRequest names.
func (h *handler) served(r ServeRequest) (keys []hypercrypto.Key, err error) {
	for _, ref := range r.Refs {
		p, err := h.Files.Find(ref, r.Dir)
		if err != nil {
			return nil, err
		}
		keys = append(keys, p.Record.Key)
	}
	if r.All {
		for _, record := range h.Files.Records() {
			keys = append(keys, record.Key)
		}
	}
	return keys, nil
}

// SeedRequest keeps a full copy of drives, with all versions, and serves it to
// others for as long as the request lasts.
type SeedRequest struct {
	Connect
	// Refs holds the drives.
	Refs []string `json:"refs"`
	// Dir is the folder that a relative path in Refs starts from.
	Dir string `json:"dir,omitempty"`
}

// TypeSeeding is the event of [Seeding].
const TypeSeeding = "seeding"

// Seeding says how much of a drive is here.
type Seeding struct {
	Type    string `json:"type"`
	Link    string `json:"link"`
	Version uint64 `json:"version"`
	// Bytes is the size of the contents of all versions, Held how much of it is
	// here.
	Bytes uint64 `json:"bytes"`
	Held  uint64 `json:"held"`
	// Complete says that nothing is missing of what is known.
	Complete bool `json:"complete"`
	Peers    int  `json:"peers"`
}

func (h *handler) seed(ctx context.Context, r SeedRequest, s *Stream) error {
	if len(r.Refs) == 0 {
		return fault.New(fault.Usage, "nothing to seed")
	}
	var places []files.Place
	var keys []hypercrypto.Key
	for _, ref := range r.Refs {
		p, err := h.Files.Find(ref, r.Dir)
		if err != nil {
			return err
		}
		places, keys = append(places, p), append(keys, p.Record.Key)
	}
	_, leave, err := h.join(ctx, r.Connect.meet(true, keys...), s, nil)
	if err != nil {
		return err
	}
	defer leave()
	for _, p := range places {
		unkeep, err := h.keepDrive(ctx, &r.Connect, p.Record, s)
		if err != nil {
			return err
		}
		defer unkeep()
	}
	return h.Files.Seed(ctx, places, func(c files.Copy) {
		s.Send(TypeSeeding, Seeding{TypeSeeding, c.Link, c.Version, c.Bytes, c.Held, c.Complete, c.Peers})
	})
}
