package wire

import (
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// Request asks for a proof and, if it is for a block, for the block.
//
//	uint flags, uint id, uint fork
//	[1 block: uint index, uint levels] [2 hash: uint tree index, uint levels]
//	[4 seek: uint bytes, uint padding] [8 upgrade: uint start, uint length]
//	(16 manifest: nothing) [32 uint priority]
type Request struct {
	// ID names the request in its answer. 0 is kept for asking whether the
	// signer signed two histories.
	ID   uint64
	Fork uint64
	// Priority is 0 for normal, 1 for high and 2 for very high.
	Priority uint64

	merkle.Request
}

const (
	partBlock = 1 << iota
	partHash
	partSeek
	partUpgrade
	partManifest
	partPriority
)

// AppendTo appends the encoded message.
func (m *Request) AppendTo(b []byte) []byte {
	flags := bit(m.Block != nil, partBlock) | bit(m.Hash != nil, partHash) | bit(m.Seek != nil, partSeek) |
		bit(m.Upgrade != nil, partUpgrade) | bit(m.Manifest, partManifest) | bit(m.Priority != 0, partPriority)
	b = compact.AppendUint(b, flags)
	b = compact.AppendUint(b, m.ID)
	b = compact.AppendUint(b, m.Fork)
	if p := m.Block; p != nil {
		b = appendPair(b, p.Index, p.Levels)
	}
	if p := m.Hash; p != nil {
		b = appendPair(b, p.Index, p.Levels)
	}
	if p := m.Seek; p != nil {
		b = appendPair(b, p.Bytes, p.Padding)
	}
	if p := m.Upgrade; p != nil {
		b = appendPair(b, p.Start, p.Length)
	}
	if m.Priority != 0 {
		b = compact.AppendUint(b, m.Priority)
	}
	return b
}

func appendPair(b []byte, x, y uint64) []byte {
	return compact.AppendUint(compact.AppendUint(b, x), y)
}

// DecodeRequest decodes a Request.
func DecodeRequest(body []byte) (Request, error) {
	r := compact.NewReader(body)
	flags := r.Uint()
	m := Request{ID: r.Uint(), Fork: r.Uint()}
	if flags&partBlock != 0 {
		m.Block = &merkle.BlockRequest{Index: r.Uint(), Levels: r.Uint()}
	}
	if flags&partHash != 0 {
		m.Hash = &merkle.HashRequest{Index: r.Uint(), Levels: r.Uint()}
	}
	if flags&partSeek != 0 {
		m.Seek = &merkle.SeekRequest{Bytes: r.Uint(), Padding: r.Uint()}
	}
	if flags&partUpgrade != 0 {
		m.Upgrade = &merkle.UpgradeRequest{Start: r.Uint(), Length: r.Uint()}
	}
	m.Manifest = flags&partManifest != 0
	if flags&partPriority != 0 {
		m.Priority = r.Uint()
	}
	return m, result("request", &r)
}
