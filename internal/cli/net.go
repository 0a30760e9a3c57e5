package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/node"
)

type netDoctorOptions struct {
	bootstrap []string
	timeout   time.Duration
}

func newNet(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "net",
		GroupID: "care",
		Short:   "Look at this machine's network",
		Long:    `Net says what this machine's network lets it do, which no program can change.`,
		Example: `  cloudpal net doctor`,
	}
	var o netDoctorOptions
	doctor := &cobra.Command{
		Use:   "doctor",
		Short: "Say what network this machine is in, and what will work",
		Long: `Doctor asks a few nodes of the DHT how they see this machine, and says in plain words
which peers it can connect to directly and when a relay is needed. It announces
nothing.`,
		Example: `  cloudpal net doctor
  cloudpal net doctor --bootstrap 192.0.2.7:49737`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runNetDoctor(cmd.Context(), g, &o) },
	}
	f := doctor.Flags()
	addBootstrap(f, &o.bootstrap)
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for answers")
	cmd.AddCommand(doctor)
	return cmd
}

func runNetDoctor(ctx context.Context, g *globals, o *netDoctorOptions) error {
	nodes, ok := bootstrapOf(o.bootstrap)
	if !ok {
		return fault.New(fault.Usage, "%s says that there is no DHT", bootstrapEnv).Hint("name a node to ask: --bootstrap HOST:PORT")
	}
	r, err := node.DiagnoseNetwork(ctx, node.DHTOptions{Bootstrap: nodes, Log: g.logger()}, o.timeout)
	if err != nil {
		return err
	}
	if g.json {
		return json.NewEncoder(g.stdout).Encode(r)
	}
	for _, line := range netFindings(&r) {
		if err := g.print("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// netFindings says in plain words what a diagnosis means.
func netFindings(r *node.Diagnosis) []string {
	if r.Answers == 0 {
		return []string{
			"No DHT node answers.",
			"Either this machine has no way out, or its network lets no UDP through.",
			"What works: peers in the same network, and addresses named with --peer.",
		}
	}
	lines := []string{"DHT nodes answer; they see this machine at " + r.Address + "."}
	if r.Address == "" {
		lines = []string{"DHT nodes answer, but do not agree on this machine's address."}
	}
	switch r.NAT {
	case "open":
		lines = append(lines,
			"This machine can be reached from everywhere.",
			"What works: connections to and from all peers, without a relay.")
	case "consistent":
		lines = append(lines,
			"This machine is behind a router that keeps one outer port for all destinations.",
			"What works: direct connections to peers that are reachable or behind such a router,",
			"and, after up to half a minute, to most peers behind routers that change ports.")
	case "random":
		lines = append(lines,
			"This machine is behind a router that uses another outer port for every destination.",
			"What works: direct connections to reachable peers, and, after up to half a minute, to",
			"most peers behind routers that keep their port. For peers behind a router like this",
			"one name a relay with --relay KEY.")
	default:
		lines = append(lines,
			"Too few nodes answered to know what router this machine is behind.",
			"Peers that are reachable can be connected to. Try again later, or with more nodes.")
	}
	return append(lines, "Peers in the same network are always reached directly.")
}
