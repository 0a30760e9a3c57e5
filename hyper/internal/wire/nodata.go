package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Reasons of a NoData. Peers count answers with a reason and stop asking a peer
// that gives too many.
const (
	// ReasonNone is given for requests that were right when they were made.
	ReasonNone = 0
	// ReasonNotAvailable: the block is not held.
	ReasonNotAvailable = 1
	// ReasonInvalid: the request cannot be answered by anybody.
	ReasonInvalid = 2
)

// NoData answers a request that cannot be answered with data.
//
//	uint request, uint flags, [1 uint reason]
//
// Old peers leave out the flags.
type NoData struct {
	Request uint64
	Reason  uint64
}

// AppendTo appends the encoded message.
func (m *NoData) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, m.Request)
	if m.Reason == ReasonNone {
		return append(b, 0)
	}
	return compact.AppendUint(append(b, 1), m.Reason)
}

// DecodeNoData decodes a NoData.
func DecodeNoData(body []byte) (NoData, error) {
	r := compact.NewReader(body)
	m := NoData{Request: r.Uint()}
	if r.Len() > 0 && r.Uint()&1 != 0 {
		m.Reason = r.Uint()
	}
	return m, result("no data", &r)
}
