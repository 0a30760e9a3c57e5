package compact

import (
	"fmt"
	"net/netip"
)

// Families of the IP form.
const (
	familyIPv4 = 4
	familyIPv6 = 6
)

// AppendIPv4 appends the 4 bytes of an IPv4 address, also of one mapped into
// IPv6. Any other address is written as 0.0.0.0.
func AppendIPv4(b []byte, a netip.Addr) []byte {
	var v [4]byte
	if a = a.Unmap(); a.Is4() {
		v = a.As4()
	}
	return append(b, v[:]...)
}

// AppendIPv6 appends the 16 bytes of an IPv6 address. An IPv4 address is mapped,
// the zero Addr is written as ::.
func AppendIPv6(b []byte, a netip.Addr) []byte {
	var v [16]byte
	if a.IsValid() {
		v = a.As16()
	}
	return append(b, v[:]...)
}

// AppendIP appends a byte with the family, 4 or 6, and the address. The zero
// Addr is written as 0.0.0.0.
func AppendIP(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		return AppendIPv6(append(b, familyIPv6), a)
	}
	return AppendIPv4(append(b, familyIPv4), a)
}

// AppendIPv4Address appends an IPv4 address and a port.
func AppendIPv4Address(b []byte, a netip.AddrPort) []byte {
	return AppendUint16(AppendIPv4(b, a.Addr()), a.Port())
}

// AppendIPv6Address appends an IPv6 address and a port.
func AppendIPv6Address(b []byte, a netip.AddrPort) []byte {
	return AppendUint16(AppendIPv6(b, a.Addr()), a.Port())
}

// AppendIPAddress appends a family byte, an address and a port.
func AppendIPAddress(b []byte, a netip.AddrPort) []byte {
	return AppendUint16(AppendIP(b, a.Addr()), a.Port())
}

// IPv4 reads 4 bytes.
func (r *Reader) IPv4() netip.Addr {
	a, _ := netip.AddrFromSlice(r.take(4))
	return a
}

// IPv6 reads 16 bytes. A mapped IPv4 address stays mapped.
func (r *Reader) IPv6() netip.Addr {
	a, _ := netip.AddrFromSlice(r.take(16))
	return a
}

// IP reads a family byte and an address. Families other than 4 and 6 are errors.
func (r *Reader) IP() netip.Addr {
	switch family := r.Byte(); {
	case r.err != nil:
		return netip.Addr{}
	case family == familyIPv4:
		return r.IPv4()
	case family == familyIPv6:
		return r.IPv6()
	default:
		r.Fail(fmt.Errorf("%w: address family %d", ErrRange, family))
		return netip.Addr{}
	}
}

// IPv4Address reads an IPv4 address and a port.
func (r *Reader) IPv4Address() netip.AddrPort { return netip.AddrPortFrom(r.IPv4(), r.Uint16()) }

// IPv6Address reads an IPv6 address and a port.
func (r *Reader) IPv6Address() netip.AddrPort { return netip.AddrPortFrom(r.IPv6(), r.Uint16()) }

// IPAddress reads a family byte, an address and a port.
func (r *Reader) IPAddress() netip.AddrPort { return netip.AddrPortFrom(r.IP(), r.Uint16()) }
