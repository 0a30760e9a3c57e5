package hyperdht

import (
	"net"
	"net/netip"
)

func prefixes(list ...string) []netip.Prefix {
	p := make([]netip.Prefix, len(list))
	for i, s := range list {
		p[i] = netip.MustParsePrefix(s)
	}
	return p
}

var (
	privateRanges = prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
	// reservedRanges lead nowhere.
	reservedRanges = prefixes("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4", "240.0.0.0/4")
)

func within(ranges []netip.Prefix, a netip.Addr) bool {
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func isPrivate(a netip.Addr) bool  { return within(privateRanges, a) }
func isReserved(a netip.Addr) bool { return within(reservedRanges, a) }

// isBogon tells whether an address means nothing on the public network.
func isBogon(a netip.Addr) bool { return isPrivate(a) || isReserved(a) }

// usable tells whether packets may be sent to an address that a stranger named.
func usable(a netip.AddrPort) bool {
	return a.Addr().Is4() && a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast() && a.Addr() != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// interfaceAddrs returns the IPv4 addresses of the networks of this machine.
func interfaceAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() && !ip.Unmap().IsLoopback() {
				addrs = append(addrs, ip.Unmap())
			}
		}
	}
	return addrs
}

// maxLocal bounds how many own addresses are told.
const maxLocal = 8

// localAddrs returns where others on the same networks reach the known port.
func (d *DHT) localAddrs() []netip.AddrPort {
	server, _ := d.sockets()
	if server == nil {
		return nil
	}
	bound := server.LocalAddr()
	if !bound.Addr().IsUnspecified() {
		return []netip.AddrPort{bound}
	}
	var addrs []netip.AddrPort
	for _, a := range d.o.LocalAddrs() {
		if len(addrs) < maxLocal {
			addrs = append(addrs, netip.AddrPortFrom(a, bound.Port()))
		}
	}
	if len(addrs) == 0 {
		addrs = append(addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port()))
	}
	return addrs
}

// nearest returns the address of theirs that has most leading octets in common
// with one of ours; false if none has any.
func nearest(ours, theirs []netip.AddrPort) (best netip.AddrPort, ok bool) {
	most := 0
	for _, a := range ours {
		for _, b := range theirs {
			x, y := a.Addr().As4(), b.Addr().As4()
			n := 0
			for n < 3 && x[n] == y[n] {
				n++
			}
			if n > most {
				best, most = b, n
			}
		}
	}
	return best, most > 0
}
