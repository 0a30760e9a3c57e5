package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api"
)

// bootstrapEnv names the bootstrap nodes for commands without --bootstrap: a
// list with commas, or noBootstrap.
const (
	bootstrapEnv = "CLOUDPAL_BOOTSTRAP"
	noBootstrap  = "none"
)

// swarmFlags say how to find peers by key.
type swarmFlags struct {
	bootstrap []string
	off       bool
	relays    []string
	relayOnly bool
}

func (s *swarmFlags) add(f *pflag.FlagSet) {
	addBootstrap(f, &s.bootstrap)
	f.BoolVar(&s.off, "no-dht", false, "use the addresses of --peer and --listen only")
	f.StringArrayVar(&s.relays, "relay", nil, "use the relay with this public `KEY` where no direct path can be found (repeatable)")
	f.BoolVar(&s.relayOnly, "relay-only", false, "connect through the relays only, so that peers do not see this machine's address")
}

func addBootstrap(f *pflag.FlagSet, into *[]string) {
	f.StringArrayVar(into, "bootstrap", nil, "find peers through this DHT node, `HOST:PORT`, instead of the public ones (repeatable; default $"+bootstrapEnv+")")
}

// request returns what to ask of the node: nothing if there shall be no DHT.
func (s *swarmFlags) request() *api.Swarm {
	nodes, ok := bootstrapOf(s.bootstrap)
	if s.off || !ok {
		return nil
	}
	return &api.Swarm{Bootstrap: nodes, Relays: s.relays, RelayOnly: s.relayOnly}
}

// bootstrapOf returns the nodes of the flag or else of the environment, which can
// also say that there shall be no DHT.
func bootstrapOf(flag []string) (nodes []string, ok bool) {
	if len(flag) > 0 {
		return flag, true
	}
	env := strings.TrimSpace(os.Getenv(bootstrapEnv))
	if env == noBootstrap {
		return nil, false
	}
	return slices.DeleteFunc(strings.Split(env, ","), func(s string) bool { return s == "" }), true
}

// pathText says in words how packets go to a peer.
func pathText(path string) string {
	switch path {
	case "lan":
		return " (same network)"
	case "punched":
		return " (through both routers)"
	case "relayed":
		return " (through a relay)"
	}
	return ""
}
