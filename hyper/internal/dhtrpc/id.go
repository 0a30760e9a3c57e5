package dhtrpc

import (
	"math/bits"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ID is a place in the key space: of a node, or of what is looked for.
type ID [32]byte

// NodeID returns the id of the node at an IPv4 address.
func NodeID(addr netip.AddrPort) ID {
	var b [6]byte
	return ID(hypercrypto.Sum(compact.AppendIPv4Address(b[:0], addr)))
}

// closer tells whether a is strictly nearer to target than b.
func closer(target, a, b *ID) bool {
	for i := range target {
		if a[i] != b[i] {
			return target[i]^a[i] < target[i]^b[i]
		}
	}
	return false
}

// prefixLen returns the number of leading bits that a and b have in common.
func prefixLen(a, b *ID) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 8 * len(a)
}
