package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/node"
)

func newDHTRelay(g *globals) *cobra.Command {
	var o node.RelayOptions
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Lend a DHT node to web browsers",
		Long: `Relay lets programs that have only a WebSocket, such as pages in a web browser,
find peers and connect to them. It speaks with clients of @hyperswarm/dht-relay.

A "custodial" client, which is what that package makes by default, sends the relay
its secret key, and the relay sees everything it sends and receives. Other clients
keep their keys and encrypt by themselves. Let others use a relay over TLS only:
with --cert and --key, or behind a web server that does TLS.`,
		Example: `  cloudpal dht relay --http 127.0.0.1:49443
  cloudpal dht relay --http :443 --cert fullchain.pem --key privkey.pem`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDHTRelay(cmd.Context(), g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.HTTP, "http", "127.0.0.1:49443", "answer at this `HOST:PORT`; port 0 picks a free one")
	f.StringVar(&o.Cert, "cert", "", "`FILE` with the certificate for TLS, and those it depends on")
	f.StringVar(&o.Key, "key", "", "`FILE` with the key of the certificate")
	f.BoolVar(&o.BehindProxy, "behind-proxy", false, "count clients by the last address in X-Forwarded-For")
	f.IntVar(&o.MaxClients, "max-clients", 1024, "how many clients to serve at a time")
	addBootstrap(f, &o.DHT.Bootstrap)
	f.StringVar(&o.DHT.Listen, "listen", "", "bind the DHT node to this `IP:PORT` (default: all addresses, port 49737 or near)")
	return cmd
}

// relayReady is what the command prints when the relay runs.
type relayReady struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

func runDHTRelay(ctx context.Context, g *globals, o node.RelayOptions) error {
	nodes, ok := bootstrapOf(o.DHT.Bootstrap)
	if o.DHT.Bootstrap = nodes; !ok {
		o.DHT.Bootstrap = []string{}
	}
	o.DHT.Log = g.logger()
	return interrupted(ctx, node.RunRelay(ctx, o, func(url string, exposed bool) {
		if g.json {
			_ = json.NewEncoder(g.stdout).Encode(relayReady{"relay", url})
			return
		}
		_ = g.print("%s", url)
		if g.quiet {
			return
		}
		p := g.newProgress()
		if exposed {
			p.print("warning: without TLS everybody on the way can read along, and custodial clients send secret keys")
		}
		p.print("running; press Ctrl-C to stop")
	}))
}
