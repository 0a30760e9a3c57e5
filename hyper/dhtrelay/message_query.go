package dhtrelay

import (
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// lookup asks who has announced a topic.
//
//	query id u32 | topic 32
type lookup struct {
	id    alias
	topic [32]byte
}

func (m *lookup) appendTo(b []byte) []byte {
	return append(compact.AppendUint32(b, m.id), m.topic[:]...)
}

func (m *lookup) decode(r *compact.Reader) { m.id, m.topic = r.Uint32(), r.Fixed32() }

// announce is the body of announce and unannounce.
//
//	flags (1 custodial) | query id u32 | topic 32 | public 32 | [secret 64]
type announce struct {
	id    alias
	topic [32]byte
	key   identity
}

func (m *announce) appendTo(b []byte) []byte {
	b = compact.AppendUint32(append(b, m.key.flags()), m.id)
	return m.key.appendTo(append(b, m.topic[:]...))
}

func (m *announce) decode(r *compact.Reader) {
	flags := r.Byte()
	m.id, m.topic = r.Uint32(), r.Fixed32()
	m.key.decode(r, flags)
}

// result is one reply to a query; data is a [Reply].
//
//	query id u32 | buffer
type result struct {
	id   alias
	data []byte
}

func (m *result) appendTo(b []byte) []byte {
	return compact.AppendBuffer(compact.AppendUint32(b, m.id), m.data)
}

func (m *result) decode(r *compact.Reader) { m.id, m.data = r.Uint32(), r.Buffer() }

// token 32 | from (id buffer, addr4) | to (id buffer, addr4) | array(peer)
func (m *Reply) appendTo(b []byte) []byte {
	b = append(b, m.Token[:]...)
	b = appendContact(b, m.From)
	b = appendContact(b, m.To)
	b = compact.AppendUint(b, uint64(len(m.Peers)))
	for _, p := range m.Peers {
		b = append(b, p.PublicKey[:]...)
		b = appendAddresses(b, p.Relays)
	}
	return b
}

func (m *Reply) decode(r *compact.Reader) {
	m.Token = r.Fixed32()
	m.From = decodeContact(r)
	m.To = decodeContact(r)
	n := r.Count(33)
	for range n {
		m.Peers = append(m.Peers, hyperdht.Peer{PublicKey: hypercrypto.PublicKey(r.Fixed32()), Relays: decodeAddresses(r)})
	}
}

func appendContact(b []byte, c Contact) []byte {
	if c.ID == nil {
		b = compact.AppendBuffer(b, nil)
	} else {
		b = compact.AppendBuffer(b, c.ID[:])
	}
	return compact.AppendIPv4Address(b, c.Addr)
}

func decodeContact(r *compact.Reader) (c Contact) {
	if id := r.Buffer(); len(id) == 32 {
		c.ID = (*[32]byte)(id)
	} else if len(id) != 0 {
		r.Fail(errMessage)
	}
	c.Addr = r.IPv4Address()
	return c
}

func appendAddresses(b []byte, all []netip.AddrPort) []byte {
	b = compact.AppendUint(b, uint64(len(all)))
	for _, a := range all {
		b = compact.AppendIPv4Address(b, a)
	}
	return b
}

func decodeAddresses(r *compact.Reader) (all []netip.AddrPort) {
	for range r.Count(6) {
		all = append(all, r.IPv4Address())
	}
	return all
}

// sign is the body of signAnnounce and signUnannounce: it asks a client that
// keeps its secret key for a signature. signee is the client's number of the
// query, or of the server, that the signature is for.
//
//	id u32 | signee u32 | token 32 | node id buffer | array(addr4)
type sign struct {
	id, signee alias
	token      [32]byte
	node       []byte
	relays     []netip.AddrPort
}

func (m *sign) appendTo(b []byte) []byte {
	b = compact.AppendUint32(compact.AppendUint32(b, m.id), m.signee)
	b = compact.AppendBuffer(append(b, m.token[:]...), m.node)
	return appendAddresses(b, m.relays)
}

func (m *sign) decode(r *compact.Reader) {
	m.id, m.signee = r.Uint32(), r.Uint32()
	m.token = r.Fixed32()
	m.node = r.Buffer()
	m.relays = decodeAddresses(r)
}

// signature answers sign.
//
//	id u32 | signature buffer
type signature struct {
	id        alias
	signature []byte
}

func (m *signature) appendTo(b []byte) []byte {
	return compact.AppendBuffer(compact.AppendUint32(b, m.id), m.signature)
}

func (m *signature) decode(r *compact.Reader) { m.id, m.signature = r.Uint32(), r.Buffer() }
