package cli

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
)

// rateTime is the time between the two looks that rates come from.
const rateTime = time.Second

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		GroupID: "care",
		Short:   "Show how the spaces stand, and the peers of the running node",
		Long: `Status tells for every space how many full copies there are and where, when they last
proved what they have, who lacks what, who is online, and how the folders of this machine
stand; "space status" has more about one. A full copy has all files as they are now, the
deleted and older versions that are kept, and all operations.

It also shows who the running node is connected to, how packets go there, and how fast.
Paths are:

  lan        the peer is in the same network
  direct     one of both sides can be reached from everywhere
  punched    both routers were opened for the connection
  relayed    through a relay, which sees addresses and ciphertext`,
		Example: `  cloudpal status
  cloudpal status --json`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), g) },
	}
}

// peerStatus is a line of status --json.
type peerStatus struct {
	api.Peer
	// SendRate and ReceiveRate are bytes per second.
	SendRate    uint64 `json:"sendRate"`
	ReceiveRate uint64 `json:"receiveRate"`
}

func runStatus(ctx context.Context, g *globals) (err error) {
	c, done, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	first, err := c.Info(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if len(first.Peers) > 0 {
		select {
		case <-time.After(rateTime):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	elapsed := time.Since(began).Seconds()
	var peers []peerStatus
	for _, p := range info.Peers {
		s := peerStatus{Peer: p}
		for _, before := range first.Peers {
			if before.Key == p.Key && before.Address == p.Address && p.Sent >= before.Sent && p.Received >= before.Received {
				s.SendRate = uint64(float64(p.Sent-before.Sent) / elapsed)
				s.ReceiveRate = uint64(float64(p.Received-before.Received) / elapsed)
			}
		}
		peers = append(peers, s)
	}
	if g.json {
		info.Type = api.TypeInfo
		info.Peers = []api.Peer{}
		enc := json.NewEncoder(g.stdout)
		if err := enc.Encode(info); err != nil {
			return err
		}
		for _, p := range peers {
			p.Type = api.TypePeer
			if err := enc.Encode(p); err != nil {
				return err
			}
		}
		return g.showSpaces(ctx, c)
	}
	if err := g.print("id     %s", info.ID); err != nil {
		return err
	}
	if err := g.print("dht    %s", dhtText(info.DHT)); err != nil {
		return err
	}
	if err := g.print("peers  %d", len(peers)); err != nil {
		return err
	}
	for _, p := range peers {
		if err := g.print("%s", peerLine(&p)); err != nil {
			return err
		}
	}
	return g.showSpaces(ctx, c)
}

func dhtText(d *api.DHT) string {
	switch {
	case d == nil:
		return "not used"
	case !d.Online && d.Nodes == 0:
		return "no node answers"
	}
	text := count(uint64(d.Nodes), "node") + " known, " + count(uint64(d.Topics), "drive") + " joined, " + natText(d.NAT)
	if d.Address != "" {
		text += ", seen as " + d.Address
	}
	return text
}

func natText(nat string) string {
	switch nat {
	case "open":
		return "reachable from everywhere"
	case "consistent":
		return "behind a router that can be opened"
	case "random":
		return "behind a router that is hard to open"
	}
	return "reachability not known yet"
}

func peerLine(p *peerStatus) string {
	if p.State != "connected" {
		line := "  " + p.State + "  " + p.Address
		if p.Error != "" {
			line += "  " + plain(p.Error)
		}
		return line
	}
	return "  " + p.Path + "  " + p.Address + "  up " + size(p.SendRate) + "/s, down " + size(p.ReceiveRate) + "/s" +
		"  (" + size(p.Sent) + " and " + size(p.Received) + " so far)  " + p.Key
}
