package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/node"
)

func newDHT(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dht",
		GroupID: "care",
		Short:   "Run a node of a DHT",
		Long: `A DHT is the network of nodes by which peers find each other. The public one needs
no node of yours. With "dht bootstrap" and "dht node" you run one of your own, for
machines that have no way to the public one or should not use it.`,
		Example: `  cloudpal dht bootstrap --at 192.0.2.7:49737`,
	}
	cmd.AddCommand(newDHTBootstrap(g), newDHTNode(g), newDHTRelay(g))
	return cmd
}

func newDHTBootstrap(g *globals) *cobra.Command {
	var o node.DHTOptions
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Run the first node of a DHT of your own",
		Long: `Bootstrap runs the first node of a DHT of your own, the one that all others name
with --bootstrap. It must be reachable at the address of --at by all of them.

Three or more further nodes ("cloudpal dht node") make announcements survive the
loss of one.`,
		Example: `  cloudpal dht bootstrap --at 192.0.2.7:49737`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.First = true
			return g.runDHT(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Address, "at", "", "the `IP:PORT` at which others see this node")
	cmd.MarkFlagRequired("at")
	f.StringVar(&o.Listen, "listen", "", "bind to this `IP:PORT` (default: all addresses, the port of --at)")
	return cmd
}

func newDHTNode(g *globals) *cobra.Command {
	var o node.DHTOptions
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node that stores announcements for others",
		Long: `Node runs a DHT node that stores announcements and records for others and passes
their handshakes on. It should be reachable from everywhere; with --reachable it
believes so at once, otherwise it finds out and takes its place after 20 minutes.`,
		Example: `  cloudpal dht node --bootstrap 192.0.2.7:49737 --reachable`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes, ok := bootstrapOf(o.Bootstrap)
			if o.Bootstrap = nodes; !ok {
				o.Bootstrap = []string{}
			}
			return g.runDHT(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	addBootstrap(f, &o.Bootstrap)
	f.BoolVar(&o.Reachable, "reachable", false, "this machine is reachable from everywhere: store for others at once")
	f.StringVar(&o.Listen, "listen", "", "bind to this `IP:PORT` (default: all addresses, port 49737 or near)")
	return cmd
}

// dhtReady is what the commands print when the node runs.
type dhtReady struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

func (g *globals) runDHT(ctx context.Context, o node.DHTOptions) error {
	o.Log = g.logger()
	return interrupted(ctx, node.RunDHT(ctx, o, func(address string) {
		if g.json {
			_ = json.NewEncoder(g.stdout).Encode(dhtReady{"dht", address})
			return
		}
		_ = g.print("%s", address)
		if !g.quiet {
			g.newProgress().print("running; others join with --bootstrap %s; press Ctrl-C to stop", address)
		}
	}))
}
