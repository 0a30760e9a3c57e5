package hyperdht

import (
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// maxRelays is the number of relay addresses kept with a peer.
const maxRelays = 3

// Peer is somebody who can be connected to.
type Peer struct {
	PublicKey hypercrypto.PublicKey
	// Relays are nodes that can be asked to pass a handshake on. They are hints.
	Relays []netip.AddrPort
}

func (p *Peer) appendTo(b []byte) []byte { return appendAddrs(append(b, p.PublicKey[:]...), p.Relays) }

func readPeer(r *compact.Reader) Peer {
	return Peer{PublicKey: r.Fixed32(), Relays: readAddrs(r)}
}

// announcement is the value of ANNOUNCE and UNANNOUNCE.
type announcement struct {
	peer      *Peer
	refresh   *[32]byte
	signature *[64]byte
	bump      uint64
}

func (a *announcement) appendTo(b []byte) []byte {
	var flags byte
	if a.peer != nil {
		flags |= 1
	}
	if a.refresh != nil {
		flags |= 2
	}
	if a.signature != nil {
		flags |= 4
	}
	if a.bump != 0 {
		flags |= 8
	}
	b = append(b, flags)
	if a.peer != nil {
		b = a.peer.appendTo(b)
	}
	if a.refresh != nil {
		b = append(b, a.refresh[:]...)
	}
	if a.signature != nil {
		b = append(b, a.signature[:]...)
	}
	if a.bump != 0 {
		b = compact.AppendUint(b, a.bump)
	}
	return b
}

func decodeAnnouncement(b []byte) (*announcement, error) {
	r := compact.NewReader(b)
	a := &announcement{}
	flags := r.Uint()
	if flags&1 != 0 {
		p := readPeer(&r)
		a.peer = &p
	}
	if flags&2 != 0 {
		v := r.Fixed32()
		a.refresh = &v
	}
	if flags&4 != 0 {
		if v := r.Fixed(64); v != nil {
			a.signature = (*[64]byte)(append([]byte(nil), v...))
		}
	}
	if flags&8 != 0 {
		a.bump = r.Uint()
	}
	return a, r.Err()
}

// signable returns what the signature of an announcement covers: it is good for
// one target, at one node, while the token is.
func (a *announcement) signable(ns *hypercrypto.Hash, target, node *dhtrpc.ID, token *[32]byte) []byte {
	var refresh []byte
	if a.refresh != nil {
		refresh = a.refresh[:]
	}
	sum := hypercrypto.Sum(target[:], node[:], token[:], a.peer.appendTo(nil), refresh)
	return append(ns[:], sum[:]...)
}

// sign returns the encoded announcement.
func (a *announcement) sign(kp *hypercrypto.KeyPair, ns *hypercrypto.Hash, target, node *dhtrpc.ID, token *[32]byte) []byte {
	space := *ns
	s := kp.Sign(a.signable(&space, target, node, token))
	a.signature = &s
	return a.appendTo(nil)
}

func (a *announcement) verify(ns *hypercrypto.Hash, target, node *dhtrpc.ID, token *[32]byte) bool {
	if a.peer == nil || a.signature == nil {
		return false
	}
	space := *ns
	return hypercrypto.Verify(a.peer.PublicKey, a.signable(&space, target, node, token), a.signature[:])
}

// decodeLookup reads the reply to LOOKUP.
func decodeLookup(b []byte) (peers []Peer, bump uint64, err error) {
	r := compact.NewReader(b)
	n := r.Count(33)
	for range n {
		peers = append(peers, readPeer(&r))
	}
	if r.Len() > 0 {
		bump = r.Uint()
	}
	return peers, bump, r.Err()
}

// mutable is a signed value that its owner can replace.
type mutable struct {
	seq       uint64
	value     []byte
	signature [64]byte
}

func (m *mutable) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, m.seq)
	b = compact.AppendBuffer(b, m.value)
	return append(b, m.signature[:]...)
}

func readMutable(r *compact.Reader) (m mutable) {
	m.seq = r.Uint()
	m.value = r.Buffer()
	copy(m.signature[:], r.Fixed(64))
	return m
}

// mutableSignable returns what the signature of a mutable value covers.
func mutableSignable(seq uint64, value []byte) []byte {
	b := compact.AppendBuffer(compact.AppendUint(nil, seq), value)
	sum := hypercrypto.Sum(b)
	return append(append([]byte(nil), nsMutablePut[:]...), sum[:]...)
}

func (m *mutable) verify(key hypercrypto.PublicKey) bool {
	return hypercrypto.Verify(key, mutableSignable(m.seq, m.value), m.signature[:])
}

// Address is a public key together with nodes through which it may be reached.
type Address struct {
	PublicKey hypercrypto.PublicKey
	Nodes     []netip.AddrPort
}

// AppendTo appends the binary form of the address.
func (a *Address) AppendTo(b []byte) []byte {
	b = append(b, a.PublicKey[:]...)
	if len(a.Nodes) == 0 {
		return append(b, 0)
	}
	return appendAddrs(append(b, 1), a.Nodes)
}

// DecodeAddress reads what AppendTo wrote, or a bare public key.
func DecodeAddress(b []byte) (Address, error) {
	r := compact.NewReader(b)
	a := Address{PublicKey: r.Fixed32()}
	if r.Len() > 0 && r.Uint()&1 != 0 {
		a.Nodes = readAddrs(&r)
	}
	return a, r.Err()
}
