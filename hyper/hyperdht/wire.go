package hyperdht

import (
	"errors"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// Commands of requests.
const (
	cmdHandshake    = 0
	cmdHolepunch    = 1
	cmdFindPeer     = 2
	cmdLookup       = 3
	cmdAnnounce     = 4
	cmdUnannounce   = 5
	cmdMutablePut   = 6
	cmdMutableGet   = 7
	cmdImmutablePut = 8
	cmdImmutableGet = 9
	cmdPlugin       = 10
)

// Codes in responses, beside those of dhtrpc.
const (
	codeSeqReused = 16
	codeSeqTooLow = 17
)

// Namespaces of signatures and keys. The number is that of the command.
var (
	nsHandshake  = hypercrypto.Namespace("hyperswarm/dht", cmdHandshake)
	nsHolepunch  = hypercrypto.Namespace("hyperswarm/dht", cmdHolepunch)
	nsAnnounce   = hypercrypto.Namespace("hyperswarm/dht", cmdAnnounce)
	nsUnannounce = hypercrypto.Namespace("hyperswarm/dht", cmdUnannounce)
	nsMutablePut = hypercrypto.Namespace("hyperswarm/dht", cmdMutablePut)
)

var errFormat = errors.New("hyperdht: malformed message")

// targetOf returns where a server with that key is announced.
func targetOf(key hypercrypto.PublicKey) dhtrpc.ID { return dhtrpc.ID(hypercrypto.Sum(key[:])) }

func appendAddrs(b []byte, addrs []netip.AddrPort) []byte {
	b = compact.AppendUint(b, uint64(len(addrs)))
	for _, a := range addrs {
		b = compact.AppendIPv4Address(b, a)
	}
	return b
}

func readAddrs(r *compact.Reader) []netip.AddrPort {
	n := r.Count(6)
	if n == 0 {
		return nil
	}
	addrs := make([]netip.AddrPort, n)
	for i := range addrs {
		addrs[i] = r.IPv4Address()
	}
	return addrs
}
