package hyperdht

import (
	"fmt"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Modes of handshake and hole punch values: where the packet comes from.
const (
	fromClient      = 0
	fromServer      = 1
	fromRelay       = 2
	fromSecondRelay = 3
	reply           = 4
)

// handshake is the value of PEER_HANDSHAKE.
type handshake struct {
	mode  uint64
	noise []byte
	peer  netip.AddrPort // zero: absent
	relay netip.AddrPort
}

func (h *handshake) appendTo(b []byte) []byte {
	var flags byte
	if h.peer.IsValid() {
		flags |= 1
	}
	if h.relay.IsValid() {
		flags |= 2
	}
	b = append(b, flags)
	b = compact.AppendUint(b, h.mode)
	b = compact.AppendBuffer(b, h.noise)
	if h.peer.IsValid() {
		b = compact.AppendIPv4Address(b, h.peer)
	}
	if h.relay.IsValid() {
		b = compact.AppendIPv4Address(b, h.relay)
	}
	return b
}

// decodeHandshake reads a handshake value; noise points into b.
func decodeHandshake(b []byte) (h handshake, err error) {
	r := compact.NewReader(b)
	flags := r.Uint()
	h.mode = r.Uint()
	h.noise = r.Buffer()
	if flags&1 != 0 {
		h.peer = r.IPv4Address()
	}
	if flags&2 != 0 {
		h.relay = r.IPv4Address()
	}
	return h, r.Err()
}

// firewall is what a side knows about the NAT in front of it.
type firewall uint64

const (
	firewallUnknown    firewall = 0
	firewallOpen       firewall = 1
	firewallConsistent firewall = 2 // every packet of a socket seems to come from one address
	firewallRandom     firewall = 3 // each destination sees another port
)

// Codes in Noise payloads and hole punch messages.
const (
	errorNone     = 0
	errorAborted  = 1
	errorVersion  = 2
	errorTryLater = 3
)

const payloadVersion = 1

// relayPair is a node that relays to a server, and how it sees the server.
type relayPair struct{ relay, peer netip.AddrPort }

type punchInfo struct {
	id     uint64
	relays []relayPair
}

type udxInfo struct {
	reusable bool
	id       uint32
	seq      uint64
}

type relayThrough struct {
	key   hypercrypto.PublicKey
	token [32]byte
}

// payload is what the two sides tell each other under the Noise handshake.
type payload struct {
	version    uint64
	err        uint64
	firewall   firewall
	punch      *punchInfo
	addresses4 []netip.AddrPort
	addresses6 []netip.AddrPort
	udx        *udxInfo
	secret     bool // speaks secretstream
	through    *relayThrough
	relays     []netip.AddrPort
}

func (p *payload) appendTo(b []byte) []byte {
	b = append(b, payloadVersion)
	flags := byte(0)
	for i, present := range []bool{p.punch != nil, len(p.addresses4) > 0, len(p.addresses6) > 0, p.udx != nil, p.secret, p.through != nil, len(p.relays) > 0} {
		if present {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = compact.AppendUint(b, p.err)
	b = compact.AppendUint(b, uint64(p.firewall))
	if p.punch != nil {
		b = compact.AppendUint(b, p.punch.id)
		b = compact.AppendUint(b, uint64(len(p.punch.relays)))
		for _, r := range p.punch.relays {
			b = compact.AppendIPv4Address(compact.AppendIPv4Address(b, r.relay), r.peer)
		}
	}
	if len(p.addresses4) > 0 {
		b = appendAddrs(b, p.addresses4)
	}
	if len(p.addresses6) > 0 {
		b = compact.AppendUint(b, uint64(len(p.addresses6)))
		for _, a := range p.addresses6 {
			b = compact.AppendIPv6Address(b, a)
		}
	}
	if p.udx != nil {
		b = append(b, 1, 0)
		if p.udx.reusable {
			b[len(b)-1] = 1
		}
		b = compact.AppendUint(b, uint64(p.udx.id))
		b = compact.AppendUint(b, p.udx.seq)
	}
	if p.secret {
		b = append(b, 1)
	}
	if p.through != nil {
		b = append(b, 1, 0)
		b = append(append(b, p.through.key[:]...), p.through.token[:]...)
	}
	if len(p.relays) > 0 {
		b = appendAddrs(b, p.relays)
	}
	return b
}

// decodePayload reads a payload. Of one with another version only that is read.
func decodePayload(b []byte) (*payload, error) {
	r := compact.NewReader(b)
	p := &payload{version: r.Uint()}
	if r.Err() == nil && p.version != payloadVersion {
		return p, nil
	}
	flags := r.Uint()
	p.err = r.Uint()
	p.firewall = firewall(r.Uint())
	if flags&1 != 0 {
		p.punch = &punchInfo{id: r.Uint()}
		for range r.Count(12) {
			p.punch.relays = append(p.punch.relays, relayPair{r.IPv4Address(), r.IPv4Address()})
		}
	}
	if flags&2 != 0 {
		p.addresses4 = readAddrs(&r)
	}
	if flags&4 != 0 {
		for range r.Count(18) {
			p.addresses6 = append(p.addresses6, r.IPv6Address())
		}
	}
	if flags&8 != 0 {
		p.udx = &udxInfo{}
		r.Uint()
		p.udx.reusable = r.Uint()&1 != 0
		id := r.Uint()
		if id > 1<<32-1 {
			return nil, fmt.Errorf("%w: stream id %d", errFormat, id)
		}
		p.udx.id = uint32(id)
		p.udx.seq = r.Uint()
	}
	if flags&16 != 0 {
		r.Uint()
		p.secret = true
	}
	if flags&32 != 0 {
		r.Uint()
		r.Uint()
		p.through = &relayThrough{key: r.Fixed32(), token: r.Fixed32()}
	}
	if flags&64 != 0 {
		p.relays = readAddrs(&r)
	}
	return p, r.Err()
}
