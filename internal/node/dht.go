package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/internal/fault"
)

// DHTOptions configures a DHT node that stands alone, without a data folder.
type DHTOptions struct {
	// Bootstrap are the nodes to begin with; nil means the public ones.
	Bootstrap []string
	// First makes the node the first of a network of its own. Address is how
	// others see it.
	First   bool
	Address string
	// Listen is the IP:PORT to bind to. Empty means all addresses.
	Listen string
	// Reachable says that strangers' packets get through.
	Reachable bool
	Log       *slog.Logger
}

func parseListen(text string) (a netip.AddrPort, err error) {
	if text == "" {
		return a, nil
	}
	if a, err = netip.ParseAddrPort(text); err != nil {
		return a, fault.New(fault.Usage, "%q is not IP:PORT", text).Hint("an address looks like 192.0.2.7:49737")
	}
	return a, nil
}

func (o *DHTOptions) open() (*hyperdht.DHT, error) {
	listen, err := parseListen(o.Listen)
	if err != nil {
		return nil, err
	}
	h := &hyperdht.Options{Bootstrap: o.Bootstrap, Listen: listen, Log: o.Log}
	if o.Reachable {
		h.Role, h.Reach = hyperdht.Persistent, hyperdht.Open
	}
	if o.First {
		at, err := parseListen(o.Address)
		if err != nil {
			return nil, err
		}
		return hyperdht.NewBootstrapper(at, h)
	}
	return hyperdht.New(h)
}

// RunDHT runs a DHT node until ctx ends. ready is called with its address once
// it has joined.
func RunDHT(ctx context.Context, o DHTOptions, ready func(address string)) error {
	d, err := o.open()
	if err != nil {
		return fmt.Errorf("run a DHT node: %w", err)
	}
	if err := d.Ready(ctx); err != nil {
		d.Close()
		return fmt.Errorf("join the DHT: %w", err)
	}
	address := d.LocalAddr().String()
	if a := d.Status().Address; a.IsValid() && a.Port() != 0 {
		address = a.String()
	}
	if o.First {
		address = o.Address
	}
	ready(address)
	<-ctx.Done()
	if err := d.Close(); err != nil {
		return fmt.Errorf("close the DHT node: %w", err)
	}
	return ctx.Err()
}

// Diagnosis is what DHT nodes say about this machine's network.
type Diagnosis struct {
	Type string `json:"type"` // "network"
	// Answers is the number of nodes that are known after asking around.
	Answers int `json:"answers"`
	// Address is how they see this machine, without a port if they see several;
	// empty if they do not agree at all.
	Address string `json:"address,omitempty"`
	// NAT is "open", "consistent", "random" or "unknown".
	NAT string `json:"nat"`
}

// DiagnoseNetwork asks DHT nodes how they see this machine, for at most the
// given time.
func DiagnoseNetwork(ctx context.Context, o DHTOptions, patience time.Duration) (Diagnosis, error) {
	out := Diagnosis{Type: "network", NAT: hyperdht.NATUnknown.String()}
	d, err := o.open()
	if err != nil {
		return out, fmt.Errorf("start a DHT node: %w", err)
	}
	defer d.Close()
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.Ready(short); err != nil && ctx.Err() != nil {
		return out, ctx.Err()
	}
	s := d.Status()
	out.Answers, out.NAT = s.Nodes, s.NAT.String()
	if s.Address.IsValid() {
		out.Address = s.Address.Addr().String()
		if s.Address.Port() != 0 {
			out.Address = s.Address.String()
		}
	}
	return out, nil
}
