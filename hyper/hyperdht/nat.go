package hyperdht

import (
	"context"
	"net/netip"
	"sort"
)

// natView is what one side tells the other about the NAT in front of it.
type natView struct {
	firewall firewall
	addrs    []netip.AddrPort
}

// natSamples is how many nodes are asked for a fresh judgement.
const natSamples = 4

// analyze judges the NAT in front of the socket that punches. hint is how a node
// has seen it just now; if that contradicts what was known, or too little is
// known, other nodes are asked.
func (d *DHT) analyze(ctx context.Context, hint netip.AddrPort) natView {
	s := d.node.Status()
	if !s.Firewalled {
		v := natView{firewall: firewallOpen}
		if s.Addr.IsValid() {
			v.addrs = []netip.AddrPort{s.Addr}
		}
		return v
	}
	addr, n := d.node.NAT()
	if n >= 3 && addr.IsValid() && (!hint.IsValid() || hint.Addr() == addr.Addr()) {
		if addr.Port() == 0 {
			return natView{firewallRandom, []netip.AddrPort{addr}}
		}
		if !hint.IsValid() || hint == addr {
			return natView{firewallConsistent, []netip.AddrPort{addr}}
		}
	}
	samples := d.node.Probe(ctx, d.socket(), natSamples)
	if hint.IsValid() {
		samples = append(samples, hint)
	}
	v := classify(samples)
	if v.firewall == firewallConsistent && v.addrs[0] != addr {
		d.node.ResetNAT(samples)
	}
	return v
}

// classify judges from where some nodes have seen a socket, one sample per node.
func classify(samples []netip.AddrPort) natView {
	type count struct {
		addr netip.AddrPort
		hits int
	}
	var full []count
	hosts := make(map[netip.Addr]int)
	for _, a := range samples {
		hosts[a.Addr()]++
		i := 0
		for i < len(full) && full[i].addr != a {
			i++
		}
		if i == len(full) {
			full = append(full, count{addr: a})
		}
		full[i].hits++
	}
	sort.SliceStable(full, func(i, j int) bool { return full[i].hits > full[j].hits })
	if len(samples) < 3 {
		return natView{}
	}
	consistent := full[0].hits >= 3 || full[0].hits == 2 && len(hosts) > 1 && full[1].hits > 1
	switch {
	case consistent:
		v := natView{firewall: firewallConsistent}
		for _, c := range full {
			if c.hits >= 2 || len(v.addrs) < 2 {
				v.addrs = append(v.addrs, c.addr)
			}
		}
		return v
	case full[0].hits == 1 || len(hosts) == 1 && len(samples) > 3 || len(samples) > 4:
		most := full[0].addr.Addr()
		for h, n := range hosts {
			if n > hosts[most] {
				most = h
			}
		}
		return natView{firewallRandom, []netip.AddrPort{netip.AddrPortFrom(most, 0)}}
	}
	return natView{}
}

// coerce treats open as consistent.
func (f firewall) coerce() firewall {
	if f == firewallOpen {
		return firewallConsistent
	}
	return f
}
