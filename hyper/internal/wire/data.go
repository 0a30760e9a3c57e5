package wire

import (
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// Data answers a request with a proof. Proof.Fork is the fork of the message.
//
//	uint flags, uint request, uint fork
//	[1 block: uint index, buffer value, nodes]
//	[2 hash: uint tree index, nodes]
//	[4 seek: uint bytes, nodes]
//	[8 upgrade: uint start, uint length, nodes, additional nodes, buffer signature]
//	[16 manifest]
//
// Nodes are a count and, each, uint index, uint size and 32 bytes of hash.
type Data struct {
	// Request is the ID of the request. 0 is data that was not requested, or
	// evidence that the signer signed two histories.
	Request uint64

	merkle.Proof
}

// AppendTo appends the encoded message.
func (m *Data) AppendTo(b []byte) []byte {
	flags := bit(m.Block != nil, partBlock) | bit(m.Hash != nil, partHash) | bit(m.Seek != nil, partSeek) |
		bit(m.Upgrade != nil, partUpgrade) | bit(m.Manifest != nil, partManifest)
	b = compact.AppendUint(b, flags)
	b = compact.AppendUint(b, m.Request)
	b = compact.AppendUint(b, m.Fork)
	if p := m.Block; p != nil {
		b = compact.AppendUint(b, p.Index)
		b = compact.AppendBuffer(b, p.Value)
		b = hypercrypto.AppendTreeNodes(b, p.Nodes)
	}
	if p := m.Hash; p != nil {
		b = compact.AppendUint(b, p.Index)
		b = hypercrypto.AppendTreeNodes(b, p.Nodes)
	}
	if p := m.Seek; p != nil {
		b = compact.AppendUint(b, p.Bytes)
		b = hypercrypto.AppendTreeNodes(b, p.Nodes)
	}
	if p := m.Upgrade; p != nil {
		b = compact.AppendUint(b, p.Start)
		b = compact.AppendUint(b, p.Length)
		b = hypercrypto.AppendTreeNodes(b, p.Nodes)
		b = hypercrypto.AppendTreeNodes(b, p.Additional)
		b = compact.AppendBuffer(b, p.Signature)
	}
	if m.Manifest != nil {
		b = m.Manifest.AppendTo(b)
	}
	return b
}

// Size returns how many bytes AppendTo appends.
func (m *Data) Size() int {
	n := 1 + compact.SizeUint(m.Request) + compact.SizeUint(m.Fork)
	if p := m.Block; p != nil {
		n += compact.SizeUint(p.Index) + compact.SizeBuffer(len(p.Value)) + nodesSize(p.Nodes)
	}
	if p := m.Hash; p != nil {
		n += compact.SizeUint(p.Index) + nodesSize(p.Nodes)
	}
	if p := m.Seek; p != nil {
		n += compact.SizeUint(p.Bytes) + nodesSize(p.Nodes)
	}
	if p := m.Upgrade; p != nil {
		n += compact.SizeUint(p.Start) + compact.SizeUint(p.Length)
		n += nodesSize(p.Nodes) + nodesSize(p.Additional) + compact.SizeBuffer(len(p.Signature))
	}
	if m.Manifest != nil {
		var buf [256]byte
		n += len(m.Manifest.AppendTo(buf[:0]))
	}
	return n
}

func nodesSize(nodes []merkle.Node) int {
	n := compact.SizeUint(uint64(len(nodes))) + 32*len(nodes)
	for i := range nodes {
		n += compact.SizeUint(nodes[i].Index) + compact.SizeUint(nodes[i].Size)
	}
	return n
}

// DecodeData decodes a Data. The block's value and the signature point into
// body. The value of a block that is there is never nil, an empty signature is
// always nil.
func DecodeData(body []byte) (Data, error) {
	r := compact.NewReader(body)
	flags := r.Uint()
	m := Data{Request: r.Uint()}
	m.Fork = r.Uint()
	if flags&partBlock != 0 {
		m.Block = &merkle.BlockPart{Index: r.Uint(), Value: r.Buffer(), Nodes: hypercrypto.ReadTreeNodes(&r)}
	}
	if flags&partHash != 0 {
		m.Hash = &merkle.HashPart{Index: r.Uint(), Nodes: hypercrypto.ReadTreeNodes(&r)}
	}
	if flags&partSeek != 0 {
		m.Seek = &merkle.SeekPart{Bytes: r.Uint(), Nodes: hypercrypto.ReadTreeNodes(&r)}
	}
	if flags&partUpgrade != 0 {
		m.Upgrade = &merkle.UpgradePart{
			Start: r.Uint(), Length: r.Uint(),
			Nodes:      hypercrypto.ReadTreeNodes(&r),
			Additional: hypercrypto.ReadTreeNodes(&r),
			Signature:  r.OptionalBuffer(),
		}
	}
	if flags&partManifest != 0 {
		m.Manifest = hypercrypto.ReadManifest(&r)
	}
	return m, result("data", &r)
}
