package wire

import (
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Handshake is sent with the open of a channel.
//
//	uint flags (1 seeks), 32 bytes of capability
type Handshake struct {
	// Seeks: requests may have a seek part.
	Seeks bool
	// Capability proves that the sender knows the core's key, see
	// [hypercrypto.Capability].
	Capability hypercrypto.Hash
}

// AppendTo appends the encoded handshake.
func (h *Handshake) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, bit(h.Seeks, 1))
	return append(b, h.Capability[:]...)
}

// DecodeHandshake decodes a handshake.
func DecodeHandshake(body []byte) (Handshake, error) {
	r := compact.NewReader(body)
	h := Handshake{Seeks: r.Uint()&1 != 0, Capability: r.Fixed32()}
	return h, result("handshake", &r)
}
