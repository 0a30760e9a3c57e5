package hyperdht

import (
	"crypto/rand"
	"net/netip"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// holepunch is the value of PEER_HOLEPUNCH.
type holepunch struct {
	mode    uint64
	id      uint64
	payload []byte
	peer    netip.AddrPort // zero: absent
}

func (h *holepunch) appendTo(b []byte) []byte {
	var flags byte
	if h.peer.IsValid() {
		flags = 1
	}
	b = append(b, flags)
	b = compact.AppendUint(b, h.mode)
	b = compact.AppendUint(b, h.id)
	b = compact.AppendBuffer(b, h.payload)
	if h.peer.IsValid() {
		b = compact.AppendIPv4Address(b, h.peer)
	}
	return b
}

// decodeHolepunch reads a hole punch value; the payload points into b.
func decodeHolepunch(b []byte) (h holepunch, err error) {
	r := compact.NewReader(b)
	flags := r.Uint()
	h.mode = r.Uint()
	h.id = r.Uint()
	h.payload = r.Buffer()
	if flags&1 != 0 {
		h.peer = r.IPv4Address()
	}
	return h, r.Err()
}

// round is what the two sides of a hole punch tell each other, encrypted.
type round struct {
	connected   bool
	punching    bool
	err         uint64
	firewall    firewall
	round       uint64
	addresses   []netip.AddrPort
	remote      netip.AddrPort // zero: absent
	token       *[32]byte
	remoteToken *[32]byte
}

func (p *round) appendTo(b []byte) []byte {
	flags := byte(0)
	for i, present := range []bool{p.connected, p.punching, len(p.addresses) > 0, p.remote.IsValid(), p.token != nil, p.remoteToken != nil} {
		if present {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = compact.AppendUint(b, p.err)
	b = compact.AppendUint(b, uint64(p.firewall))
	b = compact.AppendUint(b, p.round)
	if len(p.addresses) > 0 {
		b = appendAddrs(b, p.addresses)
	}
	if p.remote.IsValid() {
		b = compact.AppendIPv4Address(b, p.remote)
	}
	if p.token != nil {
		b = append(b, p.token[:]...)
	}
	if p.remoteToken != nil {
		b = append(b, p.remoteToken[:]...)
	}
	return b
}

func decodeRound(b []byte) (*round, error) {
	r := compact.NewReader(b)
	flags := r.Uint()
	p := &round{connected: flags&1 != 0, punching: flags&2 != 0}
	p.err = r.Uint()
	p.firewall = firewall(r.Uint())
	p.round = r.Uint()
	if flags&4 != 0 {
		p.addresses = readAddrs(&r)
	}
	if flags&8 != 0 {
		p.remote = r.IPv4Address()
	}
	if flags&16 != 0 {
		v := r.Fixed32()
		p.token = &v
	}
	if flags&32 != 0 {
		v := r.Fixed32()
		p.remoteToken = &v
	}
	return p, r.Err()
}

const nonceSize = 24

// punchCipher protects the rounds of one connection and makes the tokens by
// which the other side proves that it receives at an address.
type punchCipher struct {
	key   [32]byte
	local [32]byte
}

func newPunchCipher(handshakeHash *[64]byte) *punchCipher {
	c := &punchCipher{key: hypercrypto.KeyedSum(handshakeHash[:], nsHolepunch[:])}
	rand.Read(c.local[:])
	return c
}

func (c *punchCipher) seal(p *round) []byte {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return secretbox.Seal(append([]byte(nil), nonce[:]...), p.appendTo(nil), &nonce, &c.key)
}

func (c *punchCipher) open(b []byte) (*round, error) {
	if len(b) < nonceSize+secretbox.Overhead {
		return nil, errFormat
	}
	plain, ok := secretbox.Open(nil, b[nonceSize:], (*[nonceSize]byte)(b), &c.key)
	if !ok {
		return nil, errFormat
	}
	return decodeRound(plain)
}

func (c *punchCipher) token(host netip.Addr) *[32]byte {
	t := [32]byte(hypercrypto.KeyedSum(c.local[:], host.AppendTo(nil)))
	return &t
}
