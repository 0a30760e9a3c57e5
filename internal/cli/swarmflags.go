package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api"
)

// Variables for commands without the flags, each a list with commas or none.
const (
	bootstrapEnv = "CLOUDPAL_BOOTSTRAP" // bootstrap nodes
	lanEnv       = "CLOUDPAL_LAN"       // network interfaces for the local link
	mirrorEnv    = "CLOUDPAL_MIRROR"    // public keys of mirrors
	none         = "none"
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
	f.BoolVar(&s.off, "no-dht", false, "find peers in this network and at named addresses only")
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

// bootstrapOf returns the nodes to begin with, and whether there shall be a DHT.
func bootstrapOf(flag []string) (nodes []string, ok bool) { return listOf(flag, bootstrapEnv) }

// listOf returns the list of a flag or else of a variable, which can also say
// none.
func listOf(flag []string, variable string) (list []string, ok bool) {
	if len(flag) > 0 {
		return flag, true
	}
	env := strings.TrimSpace(os.Getenv(variable))
	if env == none {
		return nil, false
	}
	return slices.DeleteFunc(strings.Split(env, ","), func(s string) bool { return s == "" }), true
}

// lanFlags say whether to find peers on the local link.
type lanFlags struct{ off bool }

func (l *lanFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&l.off, "no-lan", false, "neither look for peers in this network nor be seen there (default $"+lanEnv+": network interfaces, or "+none+")")
}

// request returns what to ask of the node: nothing if the local link shall not be
// used. Who connects through relays only does not show its address to neighbours.
func (l *lanFlags) request(interfaces []string, swarm *api.Swarm) *api.LAN {
	names, ok := listOf(interfaces, lanEnv)
	if l.off || !ok || swarm != nil && swarm.RelayOnly {
		return nil
	}
	return &api.LAN{Interfaces: names}
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
