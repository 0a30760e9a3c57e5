package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Cancel takes a request back. There is no answer to it, and the answer to the
// request may be on its way.
//
//	uint request
type Cancel struct {
	Request uint64
}

// AppendTo appends the encoded message.
func (m *Cancel) AppendTo(b []byte) []byte { return compact.AppendUint(b, m.Request) }

// DecodeCancel decodes a Cancel.
func DecodeCancel(body []byte) (Cancel, error) {
	r := compact.NewReader(body)
	m := Cancel{Request: r.Uint()}
	return m, result("cancel", &r)
}
