package dhtrpc

import "net/netip"

// sampler judges from what address others see this node. The zero value knows
// nothing.
type sampler struct {
	ring [16]netip.AddrPort // the last samples
	n    int                // how many there are
	next int
	addr netip.AddrPort // the judgement: invalid, or with port 0, or whole
}

// add counts one sample and judges again: with few samples all must agree, with
// many all but three.
func (s *sampler) add(seen netip.AddrPort) {
	s.ring[s.next] = seen
	s.next = (s.next + 1) % len(s.ring)
	s.n = min(s.n+1, len(s.ring))

	threshold := s.n - min(s.n/4, 3)
	s.addr = netip.AddrPort{}
	for _, a := range s.ring[:s.n] {
		hits, hostHits := 0, 0
		for _, b := range s.ring[:s.n] {
			if a == b {
				hits++
			}
			if a.Addr() == b.Addr() {
				hostHits++
			}
		}
		if hits >= threshold {
			s.addr = a
			return
		}
		if hostHits >= threshold {
			s.addr = netip.AddrPortFrom(a.Addr(), 0)
		}
	}
}

// known tells whether even the port is agreed upon.
func (s *sampler) known() bool { return s.addr.IsValid() && s.addr.Port() != 0 }
