package cli

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

// byteRate is a number of bytes per second; 0, written none, is no limit.
type byteRate uint64

// Set implements pflag.Value.
func (r *byteRate) Set(text string) error {
	if strings.EqualFold(strings.TrimSpace(text), none) {
		*r = 0
		return nil
	}
	var size byteSize
	if err := size.Set(strings.TrimSuffix(strings.TrimSpace(text), "/s")); err != nil {
		return fault.New(fault.Usage, "%q is no rate; write 500kB, 2MiB or %s", text, none)
	}
	*r = byteRate(size)
	return nil
}

// String implements pflag.Value.
func (r *byteRate) String() string {
	size := byteSize(*r)
	return size.String()
}

// Type implements pflag.Value.
func (r *byteRate) Type() string { return "RATE" }

// rateFlags are limits of which none, one or both are named.
type rateFlags struct {
	up, down byteRate
	flags    *pflag.FlagSet
}

const upLimit, downLimit = "up-limit", "down-limit"

func (r *rateFlags) add(f *pflag.FlagSet) {
	r.flags = f
	f.Var(&r.up, upLimit, "send at most this many bytes per second to all peers together, such as 500kB; none is no limit")
	f.Var(&r.down, downLimit, "receive at most this many bytes per second from all peers together")
}

// change returns what the flags name.
func (r *rateFlags) change() (c api.LimitsRequest) {
	if r.flags.Changed(upLimit) {
		n := uint64(r.up)
		c.Up = &n
	}
	if r.flags.Changed(downLimit) {
		n := uint64(r.down)
		c.Down = &n
	}
	return c
}

func newLimit(g *globals) *cobra.Command {
	var r rateFlags
	cmd := &cobra.Command{
		Use:     "limit",
		GroupID: "care",
		Short:   "Show or set how much of the network may be used",
		Long: `Limit shows the greatest rates at which this node sends and receives, or sets those
that its flags name, at once and for all commands to come. They are for all connections
together, however these are made, and for their encrypted bytes. What it takes to find
peers is little and does not count. The least limit is 10kB.

"up" takes the same flags, for as long as it runs.`,
		Example: `  cloudpal limit
  cloudpal limit --up-limit 500kB --down-limit none`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runLimit(cmd.Context(), g, &r) },
	}
	r.add(cmd.Flags())
	return cmd
}

func runLimit(ctx context.Context, g *globals, r *rateFlags) error {
	return g.with(ctx, func(c *client.Client) error {
		now, err := one[api.LimitsNow](ctx, c, "/v1/limits", r.change())
		if err != nil {
			return err
		}
		if g.json {
			return json.NewEncoder(g.stdout).Encode(now)
		}
		if err := g.print("up    %s", rateText(now.Up)); err != nil {
			return err
		}
		return g.print("down  %s", rateText(now.Down))
	})
}

func rateText(bytesPerSecond uint64) string {
	if bytesPerSecond == 0 {
		return "no limit"
	}
	return size(bytesPerSecond) + "/s"
}
