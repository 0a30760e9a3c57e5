package dhtrelay

import (
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// listen asks for a server.
//
//	flags (1 custodial) | alias u32 | public 32 | [secret 64]
type listen struct {
	alias alias
	key   identity
}

func (m *listen) appendTo(b []byte) []byte {
	return m.key.appendTo(compact.AppendUint32(append(b, m.key.flags()), m.alias))
}

func (m *listen) decode(r *compact.Reader) {
	flags := r.Byte()
	m.alias = r.Uint32()
	m.key.decode(r, flags)
}

// listening tells that a server is announced, and where its node is seen.
//
//	alias u32 | remote alias u32 | addr4
type listening struct {
	alias, remote alias
	addr          netip.AddrPort
}

func (m *listening) appendTo(b []byte) []byte {
	b = compact.AppendUint32(compact.AppendUint32(b, m.alias), m.remote)
	return compact.AppendIPv4Address(b, m.addr)
}

func (m *listening) decode(r *compact.Reader) {
	m.alias, m.remote = r.Uint32(), r.Uint32()
	m.addr = r.IPv4Address()
}

// incoming asks a custodial client whether it wants a connection; it answers
// accept or deny. payload is what the other side said of itself.
//
//	id u32 | server alias u32 | remote public 32 | noise payload buffer
type incoming struct {
	id, server alias
	remote     hypercrypto.PublicKey
	payload    []byte
}

func (m *incoming) appendTo(b []byte) []byte {
	b = compact.AppendUint32(compact.AppendUint32(b, m.id), m.server)
	return compact.AppendBuffer(append(b, m.remote[:]...), m.payload)
}

func (m *incoming) decode(r *compact.Reader) {
	m.id, m.server = r.Uint32(), r.Uint32()
	m.remote = r.Fixed32()
	m.payload = r.Buffer()
}
